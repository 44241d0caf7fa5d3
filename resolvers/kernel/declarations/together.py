"""Several queries of one caller in one workspace, as one statement: one gate, and an answer behind it for each.

The statement cannot report why a credential is refused, or which of the inputs is invalid; for that the queries run one
by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import asyncpg

from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.instance.running import instance
from resolvers.kernel.admission.gate import CREDENTIAL_ID, FIRST, ROLE, USER_ID, Gate, ReadPlan, Tenancy, judge
from resolvers.kernel.admission.plans import budget, reads
from resolvers.kernel.admission.request import Request
from resolvers.kernel.declarations.operation import TOO_LARGE, Answer, Auth, translate
from resolvers.kernel.declarations.query import PartRefused, Query
from resolvers.kernel.ground.inputs import Input, is_id, validate
from resolvers.kernel.reader.trace import Call, variant
from resolvers.kernel.store.database import database

MOST = 12
"""The most reads in one statement, because PostgreSQL plans it as a whole."""


class AskedTogether(NamedTuple):
    query: Query[Any, Any]
    request: Request


@dataclass(slots=True)
class JointPlan(ReadPlan):
    """`parts`: for each answer, the text for a missing row, and the roles that may read all of it."""

    parts: tuple[tuple[str, frozenset[Role]], ...] = ()


_plans: dict[Any, ReadPlan] = {}


def joins(operation: Any, caller: Caller) -> bool:
    """Returns true if the answer may be read in one statement with others."""
    return (
        isinstance(operation, Query)
        and operation.tenancy is Tenancy.WORKSPACE
        and not operation.personal
        and operation.auth is Auth.USER
        and caller.kind is not CredentialKind.ADMIN
        and caller.kind in operation.credentials
    )


async def answer(caller: Caller, asked: Sequence[AskedTogether]) -> list[Answer | Refusal] | None:
    """The answers, in the same order; None: they have to be asked one by one. All of them join, at one place."""
    started, place = perf_counter(), asked[0].request.place
    try:
        for query, _ in asked:
            query.require(caller, place)
        inputs = [validate(query.input, request.raw) for query, request in asked]
        plan = await _plan(caller, asked, inputs)
        if plan is None:
            return None
        whole = asked[0].query.call_of(caller, asked[0].request)
        whole.parts = tuple([Call(data=d, slots=request.slots) for d, (_, request) in zip(inputs, asked, strict=True)])
        args = plan.args(whole)
    except Refusal:
        return None
    plan.used = True
    try:
        row = await database.reads(all(query.on_replicas for query, _ in asked)).fetchrow(plan.sql, args)
    except Exception as error:
        if isinstance(error, asyncpg.DataError) or getattr(error, "sqlstate", None) == TOO_LARGE:
            return None  # of one of them
        return [_told(query, caller, translate(error), error, started) for query, _ in asked]
    if row is None:
        return None
    asked[0].query.used(caller, row)
    answers = list[Answer | Refusal]()
    for place_in_row, ((query, request), (missing, roles)) in enumerate(zip(asked, plan.parts, strict=True), FIRST):
        try:
            answers.append(_answer(row, row[place_in_row], query, request, missing, roles, caller.kind))
            query.meter.observe(perf_counter() - started, None)
        except Refusal as refusal:
            answers.append(_told(query, caller, refusal, refusal, started))
    return answers


def _answer(
    row: Any,
    payload: Any,
    query: Query[Any, Any],
    request: Request,
    missing: str,
    roles: frozenset[Role],
    kind: CredentialKind,
) -> Answer:
    query.check_scopes(row, request.shape, request.raw)
    judge(row, query.tenancy, query.roles, kind)
    if payload is not None:
        return Answer(payload)
    raise PartRefused(row[ROLE], roles) if row[ROLE] not in roles else Refusal(Code.NOT_FOUND, missing)


def _told(query: Query[Any, Any], caller: Caller, refusal: Refusal, error: Exception, started: float) -> Refusal:
    query.tell(caller, refusal, error)
    query.meter.observe(perf_counter() - started, refusal.code.value)
    return refusal


async def _plan(caller: Caller, asked: Sequence[AskedTogether], inputs: Sequence[Input]) -> JointPlan | None:
    """Returns None if the caller may not read one of them or has no compilations left."""
    by_slug = not is_id(asked[0].request.place or "")
    key = (
        caller.kind,
        by_slug,
        *[
            (query.name, id(request.shape), variant(data), tuple([variant(slot) for slot in request.slots]))
            for data, (query, request) in zip(inputs, asked, strict=True)
        ],
    )
    known: Any = _plans.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    roles = list[frozenset[Role]]()
    async with database.lease() as conn:
        row = await asked[0].query.pass_gate(conn, caller, asked[0].request)
    for query, request in asked:
        assert request.shape is not None
        query.check_scopes(row, request.shape, request.raw)
        readers = query.readers(request.shape)
        if row[ROLE] not in readers:
            return None
        roles.append(readers)
    principal = row[USER_ID] or row[CREDENTIAL_ID]

    def pay() -> None:
        if instance.limited:
            for _ in asked:
                budget.take(principal)

    made: Any = await reads.plan(_plans, key, lambda: _compile(caller.kind, by_slug, asked, inputs, roles), pay)
    return made  # type: ignore[no-any-return]


def _compile(
    kind: CredentialKind,
    by_slug: bool,
    asked: Sequence[AskedTogether],
    inputs: Sequence[Input],
    roles: Sequence[frozenset[Role]],
) -> JointPlan:
    gate, answers, parts = Gate.build(Tenancy.WORKSPACE, kind, by_slug), [], []
    for number, ((query, request), data, readers) in enumerate(zip(asked, inputs, roles, strict=True)):
        read, made = query.compiled_answer(gate, gate.trace.part(number), request, data, readers, len(asked))
        answers.append(made)
        parts.append((read.missing, readers))
    plan = gate.plan(*answers, shape=tuple([request.shape for _, request in asked]))
    return JointPlan(plan.sql, plan.getters, shape=plan.shape, parts=tuple(parts))
