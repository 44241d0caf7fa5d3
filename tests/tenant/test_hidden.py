"""Hidden rows of the own workspace, of every model: each in turn is hidden from all but owners.

No edge leads to such a row, no count includes it, and its id is answered like an unknown one.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from models.base import TenantRow
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader.graph import ACCESS
from tests.every import Faults, wanted
from tests.generation.domains import MODELS
from tests.generation.estate import Estate
from tests.generation.inputs import fields_of, is_reference, references, row_id, unknown_id, valid, variants, with_ids
from tests.generation.registry import operations, surfaces_of
from tests.generation.surfaces import Outcome
from tests.tenant.door import visible
from tests.tenant.test_edges import FRAGMENT, PATHS, Path
from tests.tenant.test_ids import mentioned, surface_of, told

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
NEVER_CARRIED_OUT = {"backups.self_test", "crews.provision", "crews.provision.rebuild", "crews.restart_agents"}
"""Refused by a server without containers, for every input."""
IN_SESSIONS = {"credentials.reveal"}
"""Refused to every token."""
HIDDEN = [model for model in ACCESS if issubclass(model, TenantRow)]


@pytest.fixture(scope="module")
def model(request: Any, estate: Estate) -> Iterator[Any]:
    with visible(request.param, lambda row, scope: scope.may(row, Action.OWNER)):
        yield request.param


NAMED = "rows that name it and are seen themselves: whether they should be is their own model's to say"
SEEN_ROWS: dict[tuple[str, str], str] = {
    ("activity.list", "crew_id"): NAMED,
    ("activity.list", "agent_id"): NAMED,
    ("agents.list", "crew_id"): NAMED,
    ("agents.find", "crew_id"): NAMED,
    ("attention.list", "crew_id"): NAMED,
    ("crews.assignments.list", "crew_id"): NAMED,
    ("crews.peer_conversations.list", "crew_id"): NAMED,
    ("agents.runs", "agent_id"): NAMED,
    ("chats.list", "agent_id"): NAMED,
    ("webhooks.list", "agent_id"): NAMED,
    ("escalations.purge", "crew_id"): NAMED,
    ("chats.delete", "agent_id"): NAMED,
    ("chats.mark_read", "agent_id"): NAMED,
    ("chats.rename", "agent_id"): NAMED,
    ("runs.list", "agent_id"): NAMED,
    ("issues.list", "project_id"): NAMED,
    ("recurring_issues.list", "crew_id"): NAMED,
    ("mcp_calls.list", "agent_id"): NAMED,
    ("issues.list", "crew_id"): NAMED,
    ("issues.list", "assignee_id"): NAMED,
}
SEEN_ROWS |= {
    (operation, field): NAMED
    for operation in ("issues.find", "issues.count")
    for field in (
        "project_id", "crew_id", "assignee_id", "creator_id", "milestone_id", "any_label_ids", "all_label_ids",
    )
}  # fmt: skip
SEEN_ROWS |= {("missions.find", f"{key}_id"): NAMED for key in ("lead_agent", "crew")}
SEEN_ROWS |= {("missions.find_one", "crew_id"): NAMED, ("routines.list", "author_crew_id"): NAMED}
SEEN_ROWS |= {("work_pauses.list", f"{key}_id"): NAMED for key in ("mission", "agent")}
SEEN_ROWS |= {("model_calls.list", f"{key}_id"): NAMED for key in ("run", "mission", "agent", "crew")}
SEEN_ROWS |= {
    (f"credential_bindings.{name}", f"{key}_id"): NAMED for name in ("list", "find") for key in ("agent", "crew")
}
SEEN_ROWS |= {("chats.find", f"{key}_id"): NAMED for key in ("agent", "crew")}
SEEN_ROWS |= {("runs.find", f"{key}_id"): NAMED for key in ("mission", "issue", "agent", "crew")}
SEEN_ROWS |= {("budgets.list", f"{key}_id"): NAMED for key in ("mission", "agent", "crew")}
SEEN_ROWS |= {(f"costs.{name}", f"{key}_id"): NAMED for name in ("report", "break_down") for key in ("agent", "crew")}
SEEN_ROWS |= {
    (f"journal.{operation}", field): NAMED
    for operation in ("list", "count", "stream")
    for field in ("crew_id", "agent_id", "crew_ids", "agent_ids", "mission_id", "trace_id")
}
"""Fields by which an operation finds what is not hidden, and not the row they name."""
SEEN_ROWS |= dict.fromkeys(
    (("saved_views.update", "id"), ("saved_views.delete", "id")),
    "whoever is not its owner is told that, of a private view too (contract)",
)
SEEN_ROWS |= dict.fromkeys(
    [
        (f"notification_channels.{name}", "id")
        for name in ("update", "delete", "test", "agents_list", "agents_allow", "agents_deny")
    ],
    "who is not its owner is refused, for a personal channel too (contract)",
)
SEEN_ROWS |= {
    ("notification_channels.agents_deny", "agent_id"): NAMED,
    ("agents.notification_channels", "agent_id"): NAMED,
}
SEEN_ROWS |= {("notification_deliveries.list", "channel_id"): NAMED}
SEEN_ROWS |= {(f"chats.attachments_{verb}", "agent_id"): NAMED for verb in ("list", "delete")}
LEFT_OUT = {
    ("chats.attachments_delete", "attachment_id"),
    ("issues.update", "label_ids"),
    ("issues.edit", "label_ids"),
    ("notification_templates.delete", "channel_id"),
}
"""Fields of which unknown ids are left out without a word: what is written says whether a row was found."""

WALKED = [
    (model, path)
    for model in HIDDEN
    for path in PATHS
    if wanted(path.operation) and path.operation.action is not Action.OWNER  # nothing of which anybody else is shown
    if path.operation.model is model or any(edge.target is model for edge in path.edges)
]


def for_its_models(cases: list[Any]) -> pytest.MarkDecorator:
    """An item for each model that there are cases of: it is hidden once for all of them."""
    named = {model: model.__name__ for model, *_ in cases}
    return pytest.mark.parametrize("model", list(named), indirect=True, ids=list(named.values()))


@for_its_models(WALKED)
async def test_no_edge_leads_to_a_hidden_row(model: Any, estate: Estate) -> None:
    faults = Faults()
    for path in [path for hidden, path in WALKED if hidden is model]:
        with faults.of(f"{path.operation.name}:{'.'.join(path.names)}"):
            await leads_to_no_hidden_row(model, path, estate)
    faults.tell()


async def leads_to_no_hidden_row(model: Any, path: Path, estate: Estate) -> None:
    raw = await one_that_leads_somewhere(path, estate)
    admin = await estate.call("graphql", path.operation, raw, estate.person("admin"), selection=path.selection)
    if admin.code is None:
        assert not any(ends(admin.body, path.names)), str(admin)
    else:  # what the path begins at is hidden, or below such a row
        assert admin.code == "NOT_FOUND", str(admin)
        assert model in begun_at(path.operation)


async def one_that_leads_somewhere(path: Path, estate: Estate) -> dict[str, Any]:
    """A row has not all edges: a budget is of an agent, a crew, or a mission."""
    for raw in variants(path.operation, estate, estate.home):
        owner = await estate.call("graphql", path.operation, raw, estate.person("owner"), selection=path.selection)
        if any(ends(owner.body, path.names)):
            return raw
    raise AssertionError("there is nothing to hide")


def begun_at(op: Operation[Any]) -> set[Any]:
    """Models of the rows an operation begins at: those its fields name by id, and those its route names otherwise."""
    named = () if op.subject is None else (op.subject.model, *op.subject.parents)
    return {op.model, *named, *[MODELS.get(key) for key in references(op).values()]}


def ends(value: Any, names: tuple[str, ...]) -> list[Any]:
    """The values at the end of a path: rows, or numbers of rows."""
    if isinstance(value, list):
        return [end for element in value for end in ends(element, names)]
    if not names or value is None:
        return [value]
    return ends(value if names[0].startswith(FRAGMENT) else value[names[0]], names[1:])


def named() -> Iterator[tuple[Any, Operation[Any], str]]:
    """Every field of an operation that names rows of a model that can be hidden."""
    for op in operations():
        if op.auth is Auth.USER and surfaces_of(op) and wanted(op):
            for field in fields_of(op):
                hidden = MODELS.get(references(op)[field]) if is_reference(op, field) else None
                if hidden in HIDDEN:
                    yield hidden, op, field


NAMES = list(named())


@for_its_models(NAMES)
async def test_the_id_of_a_hidden_row_is_an_unknown_id(model: Any, estate: Estate) -> None:
    faults = Faults()
    for _, op, field in [case for case in NAMES if case[0] is model]:
        with faults.of(f"{op.name}-{field}"):
            await answers_as_for_an_unknown_id(op, surface_of(op, field), field, estate)
    faults.tell()


async def answers_as_for_an_unknown_id(op: Operation[Any], surface: str, field: str, estate: Estate) -> None:
    raw, known = valid(op, estate, None, field), row_id(estate.home, references(op)[field])
    unknown = unknown_id(known)
    hidden, owner = [
        await estate.call(surface, op, with_ids(op, raw, field, known), estate.person(who), depth=1)
        for who in ("admin", "owner")
    ]
    never = await estate.call(surface, op, with_ids(op, raw, field, unknown), estate.person("admin"), depth=1)
    if op.name in NEVER_CARRIED_OUT:
        assert {owner.code, hidden.code, never.code} == {"UNAVAILABLE"}
        return
    if op.name in IN_SESSIONS:
        assert {owner.code, hidden.code, never.code} == {"FORBIDDEN"}
        return
    if (op.name, field) in LEFT_OUT:
        assert writes(owner, known), f"there is nothing to hide: {owner}"
        assert said(hidden, known) == said(never, unknown), f"{hidden}\n{never}"
        assert not writes(hidden, known), str(hidden)
        return
    assert said(owner, known) != said(never, unknown), f"there is nothing to hide: {owner}"
    if (op.name, field) in SEEN_ROWS:
        assert said(hidden, known) != said(never, unknown), f"it is found by the door: {hidden}"
        return
    assert said(hidden, known) == said(never, unknown), f"{hidden}\n{never}"
    assert hidden.code is None or hidden.changes == [], str(hidden)
    assert not any(known in str(change) for change in hidden.changes), str(hidden)


def writes(outcome: Outcome, id: str) -> bool:
    """True if a written row names this one."""
    return any(id in str(change.new) for change in outcome.changes)


def said(outcome: Outcome, id: str) -> tuple[Any, ...]:
    return outcome.code, outcome.status, told(outcome, id)


WITHOUT_ROWS = {"routines.active_runs": "the runs that are hidden wait or have ended"}
LISTED = [
    (op.model, op, surface)
    for op in operations()
    if isinstance(op, Query)
    and op.auth is Auth.USER
    and op.form.many
    and op.model in HIDDEN
    and wanted(op)
    and op.name not in WITHOUT_ROWS
    for surface in surfaces_of(op)
]


@for_its_models(LISTED)
async def test_no_list_shows_or_counts_a_hidden_row(model: Any, estate: Estate) -> None:
    faults = Faults()
    for _, op, surface in [case for case in LISTED if case[0] is model]:
        with faults.of(f"{op.name}-{surface}"):
            await shows_and_counts_none(model, op, surface, estate)
    faults.tell()


async def shows_and_counts_none(model: Any, op: Operation[Any], surface: str, estate: Estate) -> None:
    owner, admin = [await estate.call(surface, op, valid(op, estate), estate.person(who)) for who in ("owner", "admin")]
    assert owner.code is None
    assert owner.body != admin.body, f"there is nothing to hide: {owner}"
    ids = {str(row.id) for row in estate.home.rows.values() if type(row) is model and hasattr(row, "id")}
    assert not mentioned(admin.body, ids), str(admin)
