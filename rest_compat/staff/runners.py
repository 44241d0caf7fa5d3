"""REST: runners. People manage them; a runner itself uses the routes below /api/v1/runner, with its token in the body:
one in an address would be in every log on the way.
"""

from models.staff.runners import Runner
from resolvers.kernel.declarations.outputs import Deleted, Success
from resolvers.staff import runners
from resolvers.staff.runners.polling import CallsForRunner
from resolvers.staff.runners.registry import RegisteredRunner
from resolvers.staff.runners.reporting import CallStates
from resolvers.staff.runners.sessions import RunnerConnected
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class RunnerJSON(Wire, of=Runner):
    fields = """
        id name crew_id agent_id in_use connected platform created_by created_at updated_at seen_at refused_at
    """


RUNNERS = "/api/v1/runners"
RUNNER = f"{RUNNERS}/{{runnerId}}"
OWN = "/api/v1/runner"
ROUTES = (
    GET(RUNNERS, runners.list_runners, list[RunnerJSON]),
    POST(RUNNERS, runners.register_runner, RegisteredRunner, status=201),
    GET(RUNNER, runners.get_runner, RunnerJSON),
    PATCH(RUNNER, runners.update_runner, RunnerJSON),
    DELETE(RUNNER, runners.revoke_runner, Deleted),
    POST(f"{OWN}/connect", runners.connect_runner, RunnerConnected),
    POST(f"{OWN}/disconnect", runners.disconnect_runner, Success),
    POST(f"{OWN}/calls/poll", runners.poll_calls, CallsForRunner),
    POST(f"{OWN}/calls/report", runners.report_calls, CallStates),
)
