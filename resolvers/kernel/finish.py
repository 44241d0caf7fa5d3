"""The tail of a command in one statement: the held insert, audit rows, outbox rows, idempotency row and the answer."""

from operator import attrgetter
from typing import Any

from sqlalchemy import Text, func, literal_column, select

from models.base import new_id, table_of
from resolvers.kernel.context import Context, Held, run
from resolvers.kernel.errors import forbidden
from resolvers.kernel.gate import Plan, Scope, finished
from resolvers.kernel.inputs import Input
from resolvers.kernel.policy import MEMBERS
from resolvers.kernel.reader import Rows, Shape, edges_of, roles_of
from resolvers.kernel.reader.build import Builder
from resolvers.kernel.reader.shape import derives
from resolvers.kernel.statements import insertion
from resolvers.kernel.trace import Call, Param, Trace

AUDIT = "(id,workspace_id,user_id,action,entity_type,entity_id,data,ip_address,user_agent,created_at)"
AUDIT_TYPES = ("text", "text", "text", "text", "text", "text", "jsonb", "text", "text")
EVENT = "(workspace_id,channel,type,payload)"
EVENT_TYPES = ("text", "text", "text", "jsonb")
KEY = "(principal,workspace_id,operation,key,request_hash,body)"
KEY_TYPES = ("text", "text", "text", "text", "bytea", "bytea")


def travels(held: Held | None, result: Any, shape: Shape | None) -> bool:
    """Whether the held insert can be sent with the answer: the answer may read the new row, and no other of its table."""
    if held is None or held.row is not result:
        return held is not None and shape is None
    model = type(result)
    return shape is None or not (derives(model, shape) or any(edge.target is model for edge in edges_of(model, shape)))


def _rows(number: int, types: tuple[str, ...], first: int, extra: str = "") -> tuple[str, int]:
    rows = []
    for _ in range(number):
        rows.append("(" + ",".join(f"${first + n}::{t}" for n, t in enumerate(types)) + extra + ")")
        first += len(types)
    return ",".join(rows), first


def plan(model: Any, shape: Shape | None, held: Held | None, slots: tuple[Input, ...], audits: int, events: int, key: bool, secret: bool) -> Plan:
    """Compiled once a kind of tail. The parameters of audit, outbox and key follow those of the read."""
    trace, ctes = Trace(), list[str]()
    source: Any = None
    body: Any = select(literal_column("NULL::bytea").label("payload"), literal_column("NULL::int").label("version"))
    if held is not None:
        source = insertion(type(held.row), held.columns).returning(*table_of(type(held.row)).c).cte("made")
        for name in held.columns:
            trace.getters[name] = attrgetter("data." + name)
        body = body.add_columns(select(func.count()).select_from(source).scalar_subquery())
    if shape is not None:
        where = () if source is not None else (table_of(model).c.id == trace.bind("result_id", attrgetter("data.id")),)
        workspace, user, role = [Param(trace.bind(f"scope_{n}", attrgetter(n), Text()), n) for n in ("workspace", "user_id", "role")]
        body = Builder(trace, Scope(workspace, user, role), slots).answer(Rows(model, where=where).one(""), shape, [], source=source)
    made = finished(body, trace, shape=shape)
    made.roles = MEMBERS if shape is None else roles_of(model, shape)
    first = len(made.getters) + 1
    if audits:
        rows, first = _rows(audits, AUDIT_TYPES, first, ",now()")
        ctes.append(f"audited AS (INSERT INTO audit_logs {AUDIT} VALUES {rows})")
    if events:
        rows, first = _rows(events, EVENT_TYPES, first)
        ctes.append(f"emitted AS (INSERT INTO events {EVENT} VALUES {rows})")
    head, text = "", made.sql
    if text.startswith("WITH "):  # the held insert's own
        head, text = text[5:].split("\n SELECT", 1)[0].strip(), "SELECT" + text[5:].split("\n SELECT", 1)[1]
    if key:
        names = [f"${first + n}::{t}" for n, t in enumerate(KEY_TYPES)]
        body_sql = names[-1] if secret else f"coalesce({names[-1]}, answered.payload)"
        ctes = [f"answered AS MATERIALIZED ({text})", *ctes]
        ctes.append(f"kept AS (INSERT INTO idempotency_keys {KEY} SELECT {','.join(names[:-1])}, {body_sql} FROM answered)")
        text = "SELECT * FROM answered"
    parts = ([head] if head else []) + ctes
    made.sql = ("WITH " + ", ".join(parts) + " " if parts else "") + text
    return made


def values(ctx: Context) -> list[Any]:
    """What the audit, outbox and idempotency rows say, in the order of the plan's parameters."""
    made: list[Any] = []
    actor = ctx.user_id or None
    for audit in ctx.audits:
        made += [new_id(), ctx.workspace_id, actor, audit.action, audit.entity_type, audit.entity_id, audit.data]
        made += [ctx.caller.client or None, ctx.caller.user_agent[:250] or None]
    for event in ctx.events:
        payload = event.payload()
        made += [ctx.workspace_id, event.channel(ctx.workspace_id, payload), event.type_, payload]
    return made


async def finish(ctx: Context, plans: Any, result: Any, shape: Shape | None, slots: tuple[Input, ...], variants: tuple[Any, ...], key_values: list[Any]) -> Any:
    """Sends the tail. Returns (payload, version) of the result in the caller's shape."""
    held = ctx.held if travels(ctx.held, result, shape) else None
    if ctx.held is not None and held is None:
        await ctx._flush()
    ctx.held = None
    if held is None and shape is None and not ctx.audits and not ctx.events and not key_values:
        return None
    columns = (type(held.row), held.columns) if held else None
    key = ("finish", id(shape), columns, len(ctx.audits), len(ctx.events), bool(key_values), variants)
    known = plans.plans.get(key) or plans.keep(key, plan(type(result), shape, held, slots, len(ctx.audits), len(ctx.events), bool(key_values), plans.secret))
    if ctx.role not in known.roles and known.roles != MEMBERS:
        raise forbidden()
    data = held.row if held is not None else result
    args = known.args(Call("", ctx.workspace_id, data, slots, None, ctx.user_id, ctx.role))
    return await run(ctx.conn, known.sql, args + values(ctx) + key_values, held.conflict if held else "")
