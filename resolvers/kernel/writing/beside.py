"""Rows that a command changed, beside an answer that is no row: read before the commit, if the caller selects them."""

from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import ARRAY, Text, func
from sqlmodel import SQLModel

from models.base import TenantRow, table_of
from resolvers.errors import forbidden
from resolvers.kernel.admission.gate import ReadPlan
from resolvers.kernel.admission.plans import tails
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.ground.policy import lowest
from resolvers.kernel.reader import GRAPHS, Column, Nested, Rows, Shape, edges_of, roles_of
from resolvers.kernel.reader.build import Builder
from resolvers.kernel.reader.graph import Written
from resolvers.kernel.reader.trace import Call, Trace, constant, variant
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.database import DIALECT
from resolvers.kernel.store.differences import ENTITY_TYPES, kinds_of_row
from resolvers.kernel.writing.context import Context


def check_readers(ctx: Context, model: Any, shape: Shape | None) -> None:
    """Refuses callers who may not read the rows that they select beside the answer, before anything is written."""
    if shape is None or ctx.role is None or model not in GRAPHS or issubclass(model, SQLModel):
        return
    if ctx.role not in (roles := roles_of(model, shape)):
        raise forbidden(role=lowest(roles))


async def changed(ctx: Context, result: Any, shape: Shape) -> dict[str, Any]:
    """The selected rows as JSON, and the id of the row that the audit row names, by the keys that the caller chose."""
    made, known = dict[str, Any](), GRAPHS.get(type(result), {})
    for item in shape.fields:
        if isinstance(item, Column) and item.name == "id" and "id" not in type(result).model_fields:
            made[item.key] = _told(ctx)
        edge = known.get(item.name or "") if isinstance(item, Nested) else None
        if isinstance(item, Nested) and isinstance(edge, Written):
            made[item.key] = await _rows(ctx, item, edge, _ids(ctx, result, edge))
    return made


def _told(ctx: Context) -> str | None:
    told = [audit.entity_id for audit in ctx.audits if audit.action == ctx.operation.audit]
    return told[-1] if told else None


async def _rows(ctx: Context, item: Nested, edge: Written, ids: list[str]) -> Any:
    if not ids:
        return [] if edge.kind == "many" else None
    await ctx.flush()
    recorded = {type(record) for record in ctx.records}
    if recorded and (edge.target in recorded or any(e.target in recorded for e in edges_of(edge.target, item.shape))):
        await ctx.send_records()
    row = await _read(ctx, item, edge, ids)
    return None if row is None else orjson.Fragment(row[0])


def _ids(ctx: Context, result: Any, edge: Written) -> list[str]:
    """The ids of the changed rows: named by the answer, by the command or by its audit rows, or else the route's."""
    if edge.key is not None:
        value = getattr(result, edge.key)
        return value if isinstance(value, list) else [value] if value else []
    kinds = {ENTITY_TYPES.get(noun, noun.upper()) for noun in kinds_of_row(edge.target)}
    found = [id for model, id in ctx.shown if model is edge.target]
    found = found or [a.entity_id for a in ctx.audits if a.entity_type in kinds and a.entity_id is not None]
    if not found and isinstance(ctx.subject, edge.target):
        found = [ctx.subject.__dict__["id"]]
    return found if edge.kind == "many" else found[-1:]


async def _read(ctx: Context, item: Nested, edge: Written, ids: list[str]) -> Any:
    slots = ctx.request.slots
    key = ("beside", item.name, id(item.shape), ctx.limited, tuple([variant(slot) for slot in slots]))
    known: ReadPlan | None = ctx.operation.plans.get(key)
    if known is None:
        principal = ctx.user_id or ctx.credential_id
        known = await ctx.operation.compiled(
            tails, key, principal, lambda: _plan(edge, item.shape, slots, limited=ctx.limited)
        )
    known.used = True
    call = Call("", ctx.workspace_id, ids, slots, None, ctx.user_id, ctx.role)
    return await ctx._send(known.sql, known.args(call), begins=False)


def _plan(edge: Written, shape: Shape, slots: tuple[Input, ...], *, limited: bool) -> ReadPlan:
    trace = Trace()
    scope = Scope.of(lambda name: trace.bind(f"scope_{name}", attrgetter(name), Text()), limited=limited)
    table = table_of(edge.target)
    where = [table.c.id == func.any(trace.bind("ids", attrgetter("data"), ARRAY(Text()))), *edge.where]
    if issubclass(edge.target, TenantRow):
        where.append(table.c.workspace_id == scope.workspace_id.clause)
    rows: Any = Rows(edge.target, where=tuple(where), order=edge.order_by)
    read = rows if edge.kind == "many" else rows.one("")
    compiled = Builder(trace, scope, slots).answer(read, shape, []).compile(dialect=DIALECT)
    names = compiled.positiontup or ()
    getters = tuple([trace.getters.get(name) or constant(compiled.params[name]) for name in names])
    return ReadPlan(str(compiled), getters, shape=shape)
