"""The contract's catalogue of events and the declared ones: nothing missing, nothing other."""

import ast
import re
from typing import Any, Literal, get_origin

import crewship.process.app  # noqa: F401 - all operations
from models.base import new_id
from resolvers.kernel.declarations.events import EVENTS, Event
from resolvers.kernel.declarations.jobs import JOBS
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.row_events import PART, RowEvent
from resolvers.kernel.ground.inputs import bare
from schema.bridge import event_types
from tests.architecture.source import name_of, nodes, python_files
from tests.contract.notation import SCALARS, documents, kind_of
from tests.events.samples import every_event
from tests.every import for_every

# Frames of one socket: answers and signs of life, written by the transport and in no table.
SOCKET_FRAMES = {"resume_reset", "session_revoked", "error", "ping", "pong"}
# Only ever a numbered frame of a chat: a row of run_frames, never of the outbox.
CHAT_FRAMES = {"run_begin"}
# Keys that our payloads have beside the entry's: the web UI shows whose run has ended.
MORE_KEYS = {"run.completed": {"agent_slug": "str"}, "run.failed": {"agent_slug": "str"}}
# What the contract's server does not have, and so no entry either.
OURS = {
    "budget.created", "budget.deleted", "budget.exceeded", "budget.updated", "budget.warning", "agent.work_paused",
    "agent.work_resumed", "reaction.added", "reaction.removed",
    "participant.added", "participant.removed", "task.deleted",
    "workspace.deleted",
    "waitpoint.decided", "pipeline.runs.queued", "pipeline.batch.cancelled",
    "run.cancel_requested", "approval.created", "approval.decided", "approval.cancelled", "approval.timed_out",
}  # fmt: skip
# As the newer file of routines has them, with more keys than their entries here.
OURS |= {
    "pipeline.saved", "pipeline.run.started", "pipeline.run.completed", "pipeline.run.failed", "pipeline.step.started",
    "pipeline.step.completed", "pipeline.step.skipped", "pipeline.step.retrying", "automation.depth_exceeded",
    "pipeline.budget_reached", "pipeline.trigger.changed",
    "routine_schedule.created", "routine_schedule.updated", "routine_schedule.deleted",
}  # fmt: skip
# Events of an older type, with keys of a newer file (routine-trust).
NEWER = {"RoutineTrustChanged"}
# Entries of operations that the service does not have: type, and the key that tells the entry from others of its type.
UNSENT = {
    "port_expose.created": None, "port_expose.revoked": None, "port_expose_created": None, "provider_status": None,
    "confidence.low": "confidence", "escalation.created": "task_id",
}  # fmt: skip
UNSENT_OF_INBOX = ("run_id", "reason")
DESCRIBED = {"slug": "str"}  # a word that says what a text is, and not which

CATALOGUE: list[dict[str, Any]] = documents()["events"]["events"]


def is_unsent(entry: dict[str, Any]) -> bool:
    kind, keys = entry["type"], entry["payload"]
    if kind == "inbox.updated":
        return any(key in keys for key in UNSENT_OF_INBOX)
    return kind.startswith("pipeline.") or (kind in UNSENT and (UNSENT[kind] is None or UNSENT[kind] in keys))


ENTRIES = [e for e in CATALOGUE if e["type"] not in SOCKET_FRAMES | CHAT_FRAMES and not is_unsent(e)]
DECLARED = [event for events in EVENTS.values() for event in events if event.__module__.startswith("resolvers.")]


def channel_kind(channel: str) -> str:
    return channel.partition(":")[0]


def payload_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Key, with ~ where it may be absent -> notation."""
    extra = MORE_KEYS.get(entry["type"], {})
    return {
        key: DESCRIBED.get(notation, notation) if isinstance(notation, str) else notation
        for key, notation in (extra | entry["payload"]).items()
    }


def keys_of(event: type[Event]) -> set[str]:
    return {
        key if event.model_fields[field].is_required() else key + "~" for key, field in event.payload_keys().items()
    }


def closed_set(notation: Any) -> set[str] | None:
    """The values that a notation lists, or names as an enum of the contract; None where it lists none."""
    enum = next((d["enums"][notation] for d in documents().values() if notation in (d.get("enums") or {})), None)
    if enum is not None:
        return set(enum)
    text = str(notation).removeprefix("text ")
    listed = text not in {*SCALARS, "number"} and re.fullmatch(r"\w+(, \w+)*( or \w+)?", text)
    return set(re.split(r", | or ", text)) if listed else None


def faults(entry: dict[str, Any], event: type[Event]) -> list[str]:
    """What keeps an event from being this entry's: its channel, its keys, what they may hold.

    An enum of ours may be wider than the entry's values, a Literal has them and no others.
    """
    if event.type_ != entry["type"] or channel_kind(event.channel_) != channel_kind(entry["channel"]):
        return [f"{event.type_} on {event.channel_}"]
    payload = payload_of(entry)
    if keys_of(event) != set(payload):
        return [f"the keys are {sorted(keys_of(event))}, not {sorted(payload)}"]
    shown, found = [made.payload() for made in every_event(event)], list[str]()
    for key, field in event.payload_keys().items():
        annotation = bare(event.model_fields[field].annotation)
        notation = payload.get(key, payload.get(key + "~"))
        listed, kind = closed_set(notation), kind_of(notation, "events", f"{entry['type']}.{key}")
        values = [made[key] for made in shown if key in made]
        wrong = [fault for value in values for fault in kind.faults(value, key)]
        said = {str(value) for value in values if not isinstance(value, (dict, list))}
        if get_origin(annotation) is Literal:
            found += wrong + (
                [f"{key} is one of {said}, not of {listed}"] if listed is not None and said != listed else []
            )
        elif listed is not None:
            found += [] if listed <= said else [f"{key} is {annotation}, without {listed - said}"]
        else:
            found += wrong
    return found


def test_the_catalogue_is_read() -> None:
    assert (len(CATALOGUE) > 115, len(ENTRIES)) == (True, 100)
    assert {e["type"] for e in CATALOGUE if e["channel"] == "one client"} == SOCKET_FRAMES
    assert {e["type"] for e in CATALOGUE} >= CHAT_FRAMES
    assert not (SOCKET_FRAMES | CHAT_FRAMES) & {event.type_ for event in DECLARED}


def test_entries_of_operations_that_the_service_lacks_are_known() -> None:
    unsent = [entry for entry in CATALOGUE if is_unsent(entry)]
    assert len(unsent) == 19
    for entry in unsent:
        assert [event for event in DECLARED if not faults(entry, event)] == [], entry["type"]


@for_every(ENTRIES, ids=lambda e: f"{e['type']}-{channel_kind(e['channel'])}-{'+'.join(map(str, e['payload']))}")
def test_an_entry_is_declared_once(entry: dict[str, Any]) -> None:
    alike = [
        event
        for event in DECLARED
        if event.type_ == entry["type"] and channel_kind(event.channel_) == channel_kind(entry["channel"])
    ]
    assert alike, "no class"
    found = {event.__name__: faults(entry, event) for event in alike}
    assert [name for name, said in found.items() if not said] != [], found
    assert len([name for name, said in found.items() if not said]) == 1


@for_every(DECLARED, ids=lambda e: e.__name__)
def test_a_declared_event_is_in_the_catalogue(event: type[Event]) -> None:
    ours = (
        event.type_ in OURS or event.__name__ in NEWER or PART in event.channel_
    )  # which sockets of the contract do not receive
    assert len([entry for entry in ENTRIES if not faults(entry, event)]) == (not ours)


@for_every(DECLARED, ids=lambda e: e.__name__)
def test_an_operation_or_a_job_sends_every_declared_event(event: type[Event]) -> None:
    sources: list[Any] = [*OPERATIONS.values(), *JOBS.values()]
    assert any(event in source.emits for source in sources)


@for_every(DECLARED, ids=lambda e: e.__name__)
def test_an_event_says_when_it_is_sent(event: type[Event]) -> None:
    said = (event.__doc__ or "").strip().split("\n")[0]
    assert said != (Event.__doc__ or "").strip().split("\n")[0]
    assert re.fullmatch(r"[A-Z].{14,}[.:]", said)


@for_every(DECLARED, ids=lambda e: e.__name__)
def test_a_channel_names_the_workspace_or_what_the_event_knows(event: type[Event]) -> None:
    """And a field that routes is named by the channel: else it would be left out of everything."""
    named = set(re.findall(r"\{(\w+)\}", event.channel_))
    assert named <= {"workspace_id", *event.model_fields}
    assert event.routing_ <= named
    made = next(every_event(event))
    assert made.channel(workspace := new_id(), made.payload()) == re.sub(
        r"\{(\w+)\}", lambda m: getattr(made, m.group(1), workspace), event.channel_
    )


def test_every_declaration_is_known_once_the_domains_are_imported() -> None:
    """A process that only listens has to know what another one sends."""
    list(event_types.declared())
    known, of_rows = (
        {(event.__module__, event.__name__) for event in DECLARED if issubclass(event, RowEvent) is of_a_row}
        for of_a_row in (False, True)
    )
    written = {
        (name_of(path).removesuffix(".py").replace("/", "."), node.name)
        for path in python_files("resolvers")
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and {"type", "channel"} <= {k.arg for k in node.keywords}
    }
    assert written - of_rows == known
