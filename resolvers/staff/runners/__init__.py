"""Runners: people's own machines that execute the tools of a crew's agents, or of one agent. See docs/runners.md."""

from resolvers.kernel import Domain
from resolvers.staff.runners.polling import poll_calls
from resolvers.staff.runners.registry import (
    get_runner,
    list_runners,
    register_runner,
    revoke_runner,
    update_runner,
)
from resolvers.staff.runners.reporting import report_calls
from resolvers.staff.runners.sessions import connect_runner, disconnect_runner

DOMAIN = Domain("runners")
