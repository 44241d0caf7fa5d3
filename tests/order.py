"""The files that take longest begin first: then no worker is left alone with one of them at the end."""

import pytest

LONGEST = (
    "parity/test_parity",
    "scale/test_lists",
    "process/test_demo",
    "process/test_command",
    "tenant/test_hidden",
    "tenant/test_ids",
    "jobs/test_jobs",
    "missions/test_engine",
    "fuzz/test_hostile_inputs",
    "generation/test_accepted",
    "rbac/test_matrix",
    "fuzz/test_schemathesis",
    "process/test_chat",
    "jobs/test_clocks",
    "attacks/test_plans",
    "auth/test_accounts",
    "process/test_postgres",
    "missions/test_driving",
    "runs/test_plans",
    "oauth/test_kill",
    "live/test_ws_channels",
    "jobs/test_kill",
    "recovery/test_by_the_operator",
    "faults/test_kill_of_servers",
    "system/test_process",
    "process/test_pages_of_accounts",
    "attacks/test_process",
    "attacks/test_slow_connections",
    "models/test_migrations",
    "tenant/test_edges",
    "audit/test_export",
    "recovery/test_recovery",
    "attacks/test_bounds",
)
"""Files that take more than 25 s, longest first. A missing one costs only time."""

_PLACES = {name: place for place, name in enumerate(LONGEST)}


def place(item: pytest.Item) -> int:
    """Low is early. The same for all tests of a file: what a module shares is made once."""
    return _PLACES.get(f"{item.path.parent.name}/{item.path.stem}", len(LONGEST))
