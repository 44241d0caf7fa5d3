"""Every served route of the contract: its scope, answer, events and audit row, from one call with a valid input."""

import re
from typing import Any

import pytest

from resolvers.kernel.declarations.events import Event, Routing
from resolvers.kernel.declarations.operation import OPERATIONS, Auth, Operation
from resolvers.kernel.declarations.row_events import PART
from resolvers.live.tail import CHANGED
from rest_compat.http.errors import STATUS
from rest_compat.http.routes import scope_of
from tests.contract.deviations import (
    ADDED_EVENT_KEYS,
    ADDED_EVENTS,
    ADDED_KEYS,
    AS_WELL,
    FRACTIONS,
    LATER_EVENTS,
    MAPS,
    NEVER,
    OTHER_KEYS,
    PLANNED_EVENTS,
    WIDER,
)
from tests.contract.notation import NOTHING, SCALARS, Audited, audit_of, events_of, kind_of, routes
from tests.every import each_of, for_every
from tests.generation.domains import recipe_of
from tests.generation.estate import Estate
from tests.generation.recorder import Change
from tests.generation.registry import routes_of
from tests.generation.surfaces import Outcome

pytestmark = pytest.mark.anyio
ROUTES = [(group, route) for group, route in routes() if route["id"] in OPERATIONS]
SERVED = [pytest.param(group, route, OPERATIONS[route["id"]], id=route["id"]) for group, route in ROUTES]
EMITTING = [
    pytest.param(group, route, OPERATIONS[route["id"]], id=route["id"]) for group, route in ROUTES if events_of(route)
]
SCOPES = {"query", "path", "entity", "none"}
OPTIONAL = {402, 404, 409, 410, 422}  # statuses that an operation has to declare


@for_every(SERVED)
def test_scope_and_errors(group: str, route: dict[str, Any], op: Operation[Any]) -> None:
    if route.get("scope") in SCOPES:
        of_machines = {"none"} if op.auth is Auth.INTERNAL else set()  # to a machine, the row says it
        assert scope_of(op, routes_of(op)) in {route["scope"], *of_machines}
    errors: Any = route.get("errors") if isinstance(route.get("errors"), dict) else {}
    declared = {STATUS[code] for code in op.errors}
    assert {status for status in errors if status in OPTIONAL} - declared == set(NEVER.get(op.name, {}))


OF_THE_CONTRACT = {op.name: (group, route) for group, route, op in (case.values for case in SERVED)}


def is_as_the_contract_says(op: Operation[Any], outcome: Outcome, estate: Estate) -> None:
    """Checks the REST answer to valid input. Fields beyond the contract are not checked."""
    if op.name not in OF_THE_CONTRACT:
        return
    (group, route), recipe = OF_THE_CONTRACT[op.name], recipe_of(op.name)
    if recipe.refused is not None:
        assert outcome.code == recipe.refused.value, str(outcome)
        assert outcome.changes == []
        return
    returns = {int(s): shape for s, shape in (route.get("returns") or {}).items() if str(s).isdigit()}
    assert outcome.code is None, str(outcome)
    assert outcome.status in returns or not returns, str(outcome)
    assert faults_of(outcome, returns.get(outcome.status), group, op.name) == []
    committed = [
        change.new
        for change in outcome.changes
        if change.table == "events" and change.new and change.new["type"] != CHANGED
    ]
    assert event_faults(route, op, committed, estate, group) == []
    assert audit_faults(audit_of(route), outcome.changes, op) == []


def faults_of(outcome: Outcome, notation: Any, group: str, name: str) -> list[str]:
    if notation is None or (isinstance(notation, str) and notation in NOTHING):
        return [] if not outcome.body else [f"the answer holds {outcome.body!r}, and should be empty"]
    if 300 <= outcome.status < 400:
        return [] if outcome.location else ["the redirect leads nowhere"]
    if outcome.body is None:
        return ["the answer is empty"]
    added = ADDED_KEYS.get(name, {})
    faults = kind_of(notation, group, name).faults(outcome.body, "answer")
    fine, wider = FRACTIONS.get(name, "-"), WIDER.get(name, {})
    return [
        fault
        for fault in faults
        if not (re.match(f"{fine}: ", fault) and fault.endswith("is no time"))
        and not (name in MAPS and re.match(rf"{MAPS[name]}\.", fault))
        and not any(re.search(rf"\.{re.escape(key)} is not in the contract$", fault) for key in added)
        and not any(re.search(rf"\.{re.escape(key)}: .* is none of ", fault) for key in wider)
    ]


def event_faults(
    route: dict[str, Any], op: Operation[Any], rows: list[dict[str, Any]], estate: Estate, group: str
) -> list[str]:
    """The outbox rows of one call against the events of its line: none missing, none other, keys and channel agree."""
    declared, faults = events_of(route), list[str]()
    rows = [row for row in rows if PART not in row["channel"]]  # no client of the contract receives these
    if op.name in AS_WELL:
        other = next(each for _, each in routes() if each["id"] == AS_WELL[op.name])
        declared = [*declared, *events_of(other)]
    for row in rows:
        alike = [e for e in declared if e["type"] == row["type"]]
        if not alike and row["type"] not in ADDED_EVENTS.get(op.name, {}):
            faults.append(f"{row['type']} is not in the contract")
        found = [event_fault(e, row, estate, group, op.name) for e in alike]
        if alike and all(found):
            faults += next(f for f in found if f)
    written = {row["type"] for row in rows}
    for event in declared:
        if "when" not in event and event["type"] not in written and event["type"] not in LATER_EVENTS.get(op.name, {}):
            faults.append(f"{event['type']} was not written")
    return faults


def event_fault(event: dict[str, Any], row: dict[str, Any], estate: Estate, group: str, name: str) -> list[str]:
    if event["type"] in OTHER_KEYS.get(name, {}):
        return []
    payload = {
        key: value for key, value in row["payload"].items() if key not in ADDED_EVENT_KEYS.get(event["type"], {})
    }
    faults = kind_of(event.get("payload") or {}, group, f"{name} {event['type']}").faults(payload, event["type"])
    pattern = re.sub(r"\\\{\w+\\\}", r"[^:]+", re.escape(str(event["channel"])))
    if not re.fullmatch(pattern, row["channel"]) or (
        row["channel"].startswith("workspace:") and row["channel"] != f"workspace:{estate.home.workspace.id}"
    ):
        faults.append(f"the channel {row['channel']} is not {event['channel']}")
    return faults


def audit_faults(audited: Audited | None, changes: list[Change], op: Operation[Any]) -> list[str]:
    rows = [change.new for change in changes if change.table == "audit_logs" and change.new]
    if audited is None:
        return [] if op.audit or not rows else ["an audit row that nobody declares"]
    row = next((r for r in rows if r["action"] == audited.action), None)
    if row is None:
        return [f"no audit row {audited.action}"] if audited.always else []
    faults = (
        []
        if audited.entity in (None, row["entity_type"])
        else [f"the audit row is about {row['entity_type']}, not {audited.entity}"]
    )
    return faults + [f"the audit row lacks {key}" for key in audited.keys if key not in row["data"]]


@for_every(EMITTING)
def test_declared_events_have_the_keys_and_channels_of_the_contract(
    group: str, route: dict[str, Any], op: Operation[Any]
) -> None:
    """Checks every event that an operation may emit, including events that a single call does not show."""
    for event in events_of(route):
        alike = [e for e in op.emits if e.type_ == event["type"]]
        if event["type"] in PLANNED_EVENTS.get(op.name, {}):
            assert not alike, f"{event['type']} is sent: take it off PLANNED_EVENTS"
            continue
        assert alike, f"{event['type']} is not declared"
        if isinstance(event.get("payload"), dict) and event["type"] not in OTHER_KEYS.get(op.name, {}):
            assert any(_keys_agree(e, event["payload"]) for e in alike), (
                f"{event['type']}: {[sorted(e.model_fields) for e in alike]}"
            )
        prefix = str(event["channel"]).split(":")[0]
        assert " " in prefix or any(e.channel_.split(":")[0] == prefix for e in alike), (
            f"{event['type']}: {[e.channel_ for e in alike]}"
        )


def _keys_agree(event: type[Event], payload: dict[str, Any]) -> bool:
    """Another operation sends the event's optional keys (tests/events); every payload has the required ones."""
    always = {key for key in payload if not key.endswith("~")}
    named = {name for name, field in event.model_fields.items() if any(isinstance(m, Routing) for m in field.metadata)}
    needed = {name for name, field in event.model_fields.items() if field.is_required()} - named
    needed -= set(ADDED_EVENT_KEYS.get(event.type_, ()))
    return always <= set(event.model_fields) and needed <= {key.rstrip("~") for key in payload}


@each_of(
    ("notation", "value", "is_right"),
    [
        ("str?", None, True), ("str", None, False), ("str (64 hex)", "x", True), ("str (64 hex)", 1, False),
        ("int", True, False), ("float", 1, True),
        ("[Label]", [], True), ("[Label]", [{"id": "c" + "a" * 20, "name": "n", "color": "c", "label_group": None}],
            True),
        ("[Label]", [{"id": "c" + "a" * 20, "name": "n", "color": "c"}], False),
        ("Label", {"id": "x", "name": "n", "color": "c", "label_group": None}, False),
        ("labels.Label?", None, True), ({"a~": "int"}, {}, True), ({"a~": "int"}, {"a": "1"}, False),
        ({"a": "int"}, {"a": 1, "b": 2}, False),
        ("{status: ok, n: int}", {"status": "ok", "n": 1}, True),
        ("{status: ok, n: int}", {"status": "no", "n": 1}, False),
        ({"success": True}, {"success": True}, True),
        ("workspaces.WorkspaceRole", "OWNER", True), ("workspaces.WorkspaceRole", "KING", False),
        ({"*": "int"}, {"x": 1, "y": 2}, True),
        ({"*": "int"}, {"x": "1"}, False), ("a|b", "b", True), ("a|b", "c", False),
        ("time", "2026-01-01T00:00:00Z", True),
        ("time", "2026-01-01T00:00:00.5Z", False), ("time", "2026-01-01 00:00:00", False),
        ("Label, or {} when there is none", {}, True),
        ("Label, or {} when there is none", {"id": 1}, False), ("[{slot: str}] always five", [{"slot": 1}], False),
        ("[[int]]", [[1]], True),
    ],
)  # fmt: skip
def test_the_notation(notation: Any, value: Any, is_right: bool) -> None:
    faults = kind_of(notation, "labels", "test").faults(value, "value")
    assert (faults == []) is is_right, faults


def test_every_kind_of_the_contract_can_be_read() -> None:
    """No name in an object is unknown: a typing error in the files would be a literal that no value can match."""
    assert set(SCALARS) >= {"cuid", "str", "int", "float", "bool", "time", "json"}
    for group, route in routes():
        for status, notation in (route.get("returns") or {}).items():
            if str(status).isdigit() and int(status) < 300:
                kind_of(notation, group, "test")
