"""The files that take longest begin first: then no worker is left alone with one of them at the end."""

import pytest

LONGEST = (
    "fuzz/test_schemathesis",
    "audit/test_scale",
    "fuzz/test_hostile_inputs",
    "scale/test_lists_slow",
    "faults/test_kill_beside_containers",
    "reader/test_paths",
    "attacks/test_exhaustion",
    "faults/test_kill_of_coding_agents",
    "reader/test_oracle",
    "missions/test_faults",
    "faults/test_kill_in_decisions",
    "architecture/test_growth",
    "jobs/test_kill",
    "faults/test_kill_of_uploads",
    "faults/test_kill",
    "faults/test_kill_of_servers",
    "faults/test_kill_of_parked_runs",
    "attacks/test_documents",
    "clients/test_rest_tools",
    "faults/test_clocks",
    "parity/test_parity",
    "process/test_budget",
    "tenant/test_hidden",
    "process/test_command",
    "jobs/test_jobs",
    "rbac/test_matrix",
    "tenant/test_ids",
    "generation/test_accepted",
    "process/test_pages_of_accounts",
    "attacks/test_files_without_names",
    "process/test_chat",
    "tenant/test_edges",
    "kernel/test_silent_host",
    "jobs/test_clocks",
    "process/test_people",
    "process/test_pages_of_terminals",
    "process/test_terminal",
    "attacks/test_bounds",
    "runtime/test_mcp_programs",
    "coding/test_runner",
    "process/test_postgres",
    "process/test_pages_at_work",
    "canaries/test_canaries",
    "auth/test_accounts",
    "process/test_pages_of_questions",
    "runtime/test_ends",
    "journal/test_pending",
    "attacks/test_watchdog",
    "integrations/test_asking_programs",
    "reader/test_filters",
    "process/test_pages_of_invitations",
    "process/test_doctor",
    "runtime/test_take_over",
    "models/test_migrations",
)
"""Files that take more than 12 s, or 150 s with slow tests, longest first. A missing one costs only time."""

_PLACES = {name: place for place, name in enumerate(LONGEST)}


def place(item: pytest.Item) -> int:
    """Low is early. The same for all tests of a file: what a module shares is made once."""
    return _PLACES.get(f"{item.path.parent.name}/{item.path.stem}", len(LONGEST))
