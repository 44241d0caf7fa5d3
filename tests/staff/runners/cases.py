"""Cases of runners, for the tests that are made for every operation."""

from datetime import timedelta

from models.staff.runners import Runner, RunnerCall, RunnerCallState
from resolvers.instance.crypto import Signer, digest
from resolvers.staff.runners.tokens import PREFIX
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before
from tests.world import SIGNED_WITH, World, now

INSTANCE = "a1" * 32


def token_of(id: str) -> str:
    """What a started instance would give; rows are made without one, too."""
    return f"{PREFIX}{id}_{Signer(SIGNED_WITH).runner_token(id)}"


def runner_id(plot: Plot) -> str:
    return f"runner{plot.workspace.id[1:]}"


@entity
def runner(plot: Plot) -> Runner:
    return Runner(
        id=runner_id(plot),
        name="Workshop",
        crew_id=plot["crew"].id,
        token_hash=digest(token_of(runner_id(plot))),
        created_by=plot.owner.user_id,
        platform="Linux",
        generation=1,
        instance=digest(INSTANCE),
        connected_until=now() + timedelta(hours=1),
        seen_at=now(),
        refused_at=now(),
        **plot.here,
    )


@entity
def agents_runner(plot: Plot) -> Runner:
    return Runner(name="Bench", agent_id=plot["lead"].id, token_hash=f"bench of {plot.workspace.id}", **plot.here)


@entity
def runner_call(plot: Plot) -> RunnerCall:
    made = RunnerCall(
        runner_id=plot["runner"].id,
        run_id=plot["live_run"].id,
        agent_id=plot["lead"].id,
        state=RunnerCallState.RUNNING,
        generation=1,
        leased_until=now() + timedelta(hours=1),
        **plot.here,
    )
    for column in ("request", "shown", "outcome"):
        made.__dict__[column] = sealed_before("{}", table=RunnerCall, column=column, row_id=made.id)
    return made


def _token(world: World) -> str:
    return token_of(runner_id(world.home))


def _crew(world: World) -> str:
    return str(world.home["crew"].id)


PROCESS = {"token": _token, "instance": INSTANCE, "generation": 1}
ANONYMOUS = frozenset({"runners.connect", "runners.disconnect", "runners.poll", "runners.report", "runners.take_calls"})
RECIPES = {
    "runners.register": Recipe(
        {"name": "Quay", "crew_id": _crew, "agent_id": None, "in_use": False}, ids={"crew_id": "crew"}
    ),
    "runners.update": Recipe({"name": "Quay", "in_use": False}, ids={"id": "runner", "crew_id": "crew"}),
    "runners.get": Recipe(ids={"id": "runner"}),
    "runners.revoke": Recipe(ids={"id": "runner"}),
    "runners.connect": Recipe({"token": _token, "instance": INSTANCE, "platform": "Linux"}),
    "runners.disconnect": Recipe(PROCESS),
    "runners.take_calls": Recipe(PROCESS),
    "runners.poll": Recipe(PROCESS | {"room": 1, "wait": 0}),
    "runners.report": Recipe(PROCESS | {"calls": []}),
    "credentials.allow_on_runners": Recipe({"on_runners": True}, ids={"id": "credential"}),
}
