"""The tail of a command in one statement: the held insert, audit rows, outbox rows, jobs, recorded rows, idempotency
row and the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import Text, literal_column, select, text
from sqlmodel import SQLModel

from models.base import new_id, table_of
from models.bounds import NOTES, PAYLOAD
from models.people.workspaces import Role
from resolvers.errors import Code, Refusal, forbidden
from resolvers.kernel.admission.gate import ReadPlan
from resolvers.kernel.admission.plans import tails
from resolvers.kernel.declarations import jobs
from resolvers.kernel.ground.auditing import by_whose_right, client_of, effect_of
from resolvers.kernel.ground.bounds import encoded
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.kernel.reader import Rows, Shape, edges_of, roles_of
from resolvers.kernel.reader.build import Builder
from resolvers.kernel.reader.graph import visible_of
from resolvers.kernel.reader.shape import derives
from resolvers.kernel.reader.trace import Call, Getter, Param, Trace, constant, variant
from resolvers.kernel.reader.visibility import KNOWN, Scope
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.changes import NamedColumns, Waiting, given, split
from resolvers.kernel.store.database import DIALECT
from resolvers.kernel.store.statements import adding, columns_of, written
from resolvers.kernel.writing.actors import actor_of
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.recorder import Audit

ACTION = "user_id,actor_type,actor_id,action,entity_type,entity_id,changes,ip_address,user_agent,data,created_at)"
ACTION_TYPES = ("text", "text", "text", "text", "text", "text", "text::jsonb", "text", "text", "jsonb")
AUDIT, AUDIT_TYPES = f"(id,salt,workspace_id,effect,{ACTION}", ("text", "text", "text", "text", *ACTION_TYPES)
PERSONAL, PERSONAL_TYPES = f"(id,{ACTION}", ("text", *ACTION_TYPES)
MOST_ALONE = 4
"""The most audit rows with parameters of their own; more are sent as arrays, by one plan for every number."""
EVENT = "(workspace_id,channel,type,payload,cause)"
EVENT_TYPES = ("text", "text", "text", "jsonb", "text")
KEY = "(principal,workspace_id,operation,key,request_hash,body,version)"
NOTHING: NamedColumns = ()
KEY_TYPES = ("text", "text", "text", "text", "bytea", "bytea")


def travels(held: Waiting | None, result: Any, shape: Shape | None) -> bool:
    """Returns true if the last write can be sent with the answer: the answer may read that row, and no other row that
    may depend on it.
    """
    if held is None or held.row is not result:
        return held is not None and shape is None
    return shape is None or _reads_nothing_else(type(result), shape)


_ALONE: dict[int, tuple[Shape, bool]] = {}
MOST_KNOWN = 1000


def _reads_nothing_else(model: Any, shape: Shape) -> bool:
    """Known of a shape once it was asked: walking it takes as long as a small statement."""
    known = _ALONE.get(id(shape))
    if known is None:
        alone = not (
            derives(model, shape, model)
            or any(edge.target is model or visible_of(edge.target) for edge in edges_of(model, shape))
        )
        if len(_ALONE) >= MOST_KNOWN:
            _ALONE.clear()
        known = _ALONE[id(shape)] = shape, alone  # with the shape, whose id is its own for so long
    return known[1]


def _reads(model: Any, shape: Shape, recorded: set[type[SQLModel]]) -> bool:
    """Returns true if the answer shows rows of a table with recorded rows: a statement does not see its own writes."""
    return any(edge.target in recorded for edge in edges_of(model, shape))


def _audited(
    ctx: Context, audits: list[Audit], drawn: bool, values: list[Any], place: str | None = None
) -> tuple[NamedColumns, ...]:
    """Adds the contents of audit rows to the values; returns the columns that are read from the new row."""
    named, client = list[NamedColumns](), client_of(ctx.caller)
    by = by_whose_right(ctx.caller, ctx.user_id, ctx.credential_id)
    for audit in audits:
        data, columns = split(audit.data) if drawn else (audit.data, NOTHING)
        named.append(columns)
        changes = ctx.changes.get(audit.entity_id or "")
        if place is None:
            values += [audit.id, ctx.whose]
        else:
            # PostgreSQL asks the system for each number it draws, which takes a twelfth of the row's insert
            values += [audit.id, new_id(), place, effect_of(audit.action), ctx.user_id or None]
        values += [*by, audit.action, audit.entity_type, audit.entity_id]
        values += [
            encoded(changes, NOTES).decode() if changes else None,
            *client,
            orjson.Fragment(encoded(data, NOTES)),
        ]
    return tuple(named)


def _cause(ctx: Context) -> str:
    """The actor, and the id that the client gave its mutation: a client recognises its own events."""
    actor = actor_of(ctx)
    return orjson.dumps([actor.type, actor.id, ctx.caller.mutation_id or None]).decode()


@dataclass(slots=True)
class Records:
    """The contents of the audit, outbox and idempotency rows and the jobs, in the order of the plan's parameters, and
    the columns that the plan reads from the new row.
    """

    audits: tuple[NamedColumns, ...]
    personal: tuple[NamedColumns, ...]
    events: tuple[NamedColumns, ...]
    key: bool
    queued: int
    rows: tuple[tuple[type[SQLModel], tuple[str, ...]], ...]
    values: list[Any]

    @classmethod
    def of(cls, ctx: Context, held: Waiting | None, key_values: Sequence[Any]) -> "Records":
        values = list[Any]()
        drawn = held is not None and bool(held.drawn)
        audits = ctx.workspace_audits()
        if len(audits) > MOST_ALONE:
            ctx.record(*[ctx.audit_row(audit) for audit in audits])
            audits = []
        personal = ctx.personal_audits()
        named = _audited(ctx, audits, drawn, values, ctx.workspace_id)
        of_account = _audited(ctx, personal, drawn, values)
        events = [NOTHING] * len(ctx.events)
        cause = _cause(ctx) if ctx.events else None
        for n, event in enumerate(ctx.events):
            payload = event.payload()
            if drawn:
                payload, events[n] = split(payload)
            address = event.address(ctx.workspace_id, payload)
            values += [ctx.workspace_id, address, event.type_, orjson.Fragment(encoded(payload, PAYLOAD)), cause]
        values += key_values
        for job in jobs.in_order(ctx.queued):
            values += job
        tables = dict[tuple[type[SQLModel], tuple[str, ...]], list[SQLModel]]()
        for row in ctx.records:
            tables.setdefault((type(row), given(row)), []).append(row)
        for (_, columns), rows in tables.items():
            values += columns_of(rows, columns)
        return cls(named, of_account, tuple(events), bool(key_values), len(ctx.queued), tuple(tables), values)


@dataclass(slots=True)
class Tail(ReadPlan):
    """`order`: the place of each parameter among the read's own, followed by the recorded ones; empty if in order."""

    order: tuple[int, ...] = ()


class WrittenBeside:
    """The statements that write the records, beside the one that answers. Parameters are named by their number."""

    def __init__(self, source: str) -> None:
        self.source, self.given = source, 0
        self.ctes = list[Any]()

    def parameter(self, kind: str) -> str:
        self.given += 1
        first, cast, rest = kind.partition("::")
        return f"CAST(:recorded{self.given - 1} AS {first}){cast}{rest}"

    def add(self, name: str, sql: str, materialized: bool = False) -> None:
        made = text(sql).columns().cte(name)
        self.ctes.append(made.prefix_with("MATERIALIZED") if materialized else made)

    def rows(self, rows: tuple[NamedColumns, ...], types: tuple[str, ...], more: str = "") -> str:
        """The rows of an INSERT. With a `source`, only if it has a row, whose columns the JSON may contain."""
        made = []
        for drawn in rows:
            columns = "".join([f" || jsonb_build_object('{key}', {self.source}.{name})" for key, name in drawn])
            row = ",".join([self.parameter(t) + (columns if t == "jsonb" else "") for t in types]) + more
            made.append(f"SELECT {row} FROM {self.source}" if self.source else f"({row})")
        return " UNION ALL ".join(made) if self.source else "VALUES " + ",".join(made)


def plan(
    model: Any,
    shape: Shape | None,
    held: Waiting | None,
    slots: tuple[Input, ...],
    records: Records,
    secret: bool,
    roles: frozenset[Role],
    limited: bool,
) -> Tail:
    """Compiled once a kind of tail."""
    trace = Trace()
    source: Any = None
    body: Any = select(literal_column("NULL::bytea").label("payload"), literal_column("NULL::int").label("version"))
    if held is not None:
        source = written(held).returning(*table_of(type(held.row)).c).cte("made")
        body = body.select_from(source)
        for name in held.columns:
            trace.getters[name] = _of_row(name)
        if held.missing is not None:
            trace.getters |= {name: _changing(name) for name in held.parameters} | {
                f"scope_{n}": attrgetter(n) for n in KNOWN
            }
    if shape is not None:
        scope = Scope.of(lambda name: trace.bind(f"scope_{name}", attrgetter(name), Text()), limited=limited)
        where = () if source is not None else _of_result(model, trace, scope.workspace_id)
        body = Builder(trace, scope, slots).answer(
            Rows(model, where=where).one(""), shape, [], source=source, held=True
        )
    beside = WrittenBeside("made" if held is not None and held.missing is not None else "")
    compiled = _recording(body, source, records, beside, secret).compile(dialect=DIALECT)
    names: Sequence[str] = compiled.positiontup or ()
    recorded = {f"recorded{n}": n for n in range(beside.given)}
    read = [name for name in names if name not in recorded]
    places = {name: n for n, name in enumerate(read)} | {name: len(read) + n for name, n in recorded.items()}
    getters = tuple([trace.getters.get(name) or constant(compiled.params[name]) for name in read])
    order = tuple([places[name] for name in names])
    in_order = order == tuple(range(len(names)))
    return Tail(str(compiled), getters, shape=shape, roles=roles, order=() if in_order else order)


def _recording(body: Any, source: Any, records: Records, beside: WrittenBeside, secret: bool) -> Any:
    """The statement with the records beside the answer."""
    if source is not None:
        beside.ctes.append(source)
    answered = body.cte("answered").prefix_with("MATERIALIZED") if records.key else None
    if answered is not None:
        beside.ctes.append(answered)
        body = select(literal_column("*")).select_from(answered)
    if records.audits:
        beside.add("audited", f"INSERT INTO audit_logs {AUDIT} {beside.rows(records.audits, AUDIT_TYPES, ',now()')}")
    if records.personal:
        rows = beside.rows(records.personal, PERSONAL_TYPES, ",now()")
        beside.add("noted", f"INSERT INTO security_logs {PERSONAL} {rows}")
    if records.events:
        beside.add("emitted", f"INSERT INTO events {EVENT} {beside.rows(records.events, EVENT_TYPES)}")
    if records.key:
        *names, kept = [beside.parameter(kind) for kind in KEY_TYPES]
        kept = kept if secret else f"coalesce({kept}, answered.payload)"
        values = f"SELECT {','.join(names)}, {kept}, answered.version::int FROM answered"
        beside.add("kept", f"INSERT INTO idempotency_keys {KEY} {values}")
    if records.queued:
        rows = beside.rows((NOTHING,) * records.queued, jobs.TYPES)
        enqueued = f"SELECT enqueue({jobs.COLUMNS}) AS id FROM ({rows}) AS job ({jobs.COLUMNS})"
        beside.add("queued", enqueued, materialized=True)
        # what nothing refers to is not carried out
        body = select(literal_column("answer.*")).select_from(body.subquery("answer"))
        body = body.where(text("(SELECT count(id) FROM queued) >= 0"))
    for n, (table, columns) in enumerate(records.rows):
        added = adding(table, columns, lambda _, kind: beside.parameter(kind))
        beside.add(f"recorded{n}", f"{added}{' WHERE EXISTS (SELECT FROM made)' if beside.source else ''}")
    return body.add_cte(*beside.ctes) if beside.ctes else body


def _of_result(model: Any, trace: Trace, workspace: Param) -> tuple[Any, ...]:
    """The row that the command returned. An id that a client chose may be in another workspace, too."""
    table = table_of(model)
    found = table.c.id == trace.bind("result_id", attrgetter("data.id"))
    return (
        (found, table.c.workspace_id == workspace.clause) if "workspace_id" in table.primary_key.columns else (found,)
    )


def _of_row(name: str) -> Getter:
    return lambda call: call.data.row.__dict__[name]


def _changing(name: str) -> Getter:
    return lambda call: call.data.parameters[name]


async def finish(ctx: Context, result: Any = None, shape: Shape | None = None, key_values: Sequence[Any] = ()) -> Any:
    """Sends the tail. Returns (payload, version) of the result in the caller's shape."""
    if shape is not None and ctx.records and _reads(type(result), shape, {type(row) for row in ctx.records}):
        await ctx.send_records()
    held = ctx.held if travels(ctx.held, result, shape) else None
    if ctx.held is not None and held is None:
        await ctx.flush()
    ctx.held = None
    if held is None and shape is None and not (ctx.recorded or key_values):
        return None
    records = Records.of(ctx, held, key_values)
    known = await _planned(ctx, type(result), shape, held, records)
    slots = ctx.request.slots if shape is not None else ()
    args = known.args(Call("", ctx.workspace_id, held or result, slots, None, ctx.user_id, ctx.role))
    # a row that may be gone by now: then what is recorded of it has to go, too
    reads = held is None and shape is not None
    args += records.values
    if known.order:
        args = [args[n] for n in known.order]
    row = await ctx._send(known.sql, args, held.conflict if held else "", begins=reads)
    if row is None and held is not None:
        await ctx.refuse_unwritten(held)
    if row is None:
        raise Refusal(Code.NOT_FOUND, f"{type(result).__name__} not found")
    return row


async def _planned(ctx: Context, model: Any, shape: Shape | None, held: Waiting | None, records: Records) -> Tail:
    """The plan of this kind of tail; a new one is compiled for callers who may read its answer."""
    plans, slots = ctx.operation, ctx.request.slots if shape is not None else ()
    key = (
        "finish", id(shape), held and held.kind, records.audits, records.personal, records.events, records.key,
        records.queued, records.rows, ctx.limited, tuple([variant(s) for s in slots]),
    )  # fmt: skip
    known: Tail | None = plans.plans.get(key)
    roles = known.roles if known is not None else MEMBERS if shape is None else roles_of(model, shape)
    if ctx.role not in roles and roles != MEMBERS:
        raise forbidden(role=lowest(roles))
    if known is None:
        principal = ctx.user_id or ctx.credential_id
        known = await plans.compiled(
            tails, key, principal, lambda: plan(model, shape, held, slots, records, plans.secret, roles, ctx.limited)
        )
    known.used = True
    return known


def ring(ctx: Context) -> None:
    """Notifies after the commit, so that the wakened processes find the rows."""
    if ctx.events:
        bus.ring(Topic.events)
    for topic, key in ctx.rings:
        bus.ring(topic, key)
