"""Commands change rows in a transaction of their own; procedures are reads that must await. See ADR 3."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

from sqlmodel import SQLModel

from models.base import table_of
from models.people.workspaces import Capability, Role
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import MACHINES, Caller
from resolvers.instance import names
from resolvers.instance.running import instance
from resolvers.kernel.admission import places
from resolvers.kernel.admission.gate import (
    CAPABILITIES,
    CREDENTIAL_ID,
    NAMED,
    ROLE,
    UNACCEPTED,
    USER_ID,
    WORKSPACE_ID,
    Tenancy,
    Where,
)
from resolvers.kernel.admission.guards import Rule
from resolvers.kernel.admission.operators import check_operator, of_instance
from resolvers.kernel.admission.request import Request
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.declarations.events import Event
from resolvers.kernel.declarations.jobs import INSTANCE
from resolvers.kernel.declarations.operation import (
    Answer,
    Auth,
    D,
    Deprecation,
    Operation,
    Reach,
    Surface,
    place_of,
    surfaces_of,
)
from resolvers.kernel.declarations.outputs import Output, encode
from resolvers.kernel.declarations.query import signature
from resolvers.kernel.ground.inputs import validate
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.ground.scopes import OWN, Said
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.store.database import database
from resolvers.kernel.store.existence import Existence
from resolvers.kernel.store.statements import load
from resolvers.kernel.writing import beside, finish, idempotency
from resolvers.kernel.writing.context import Context

T = TypeVar("T")


@cache
def _columns_of(model: type[SQLModel]) -> tuple[str, ...]:
    return tuple(table_of(model).c.keys())


Refused = Callable[[Caller, dict[str, Any], Refusal], Awaitable[None]]
"""`async def f(caller, named, refusal)`: called after the rollback of a refused call, with the ids that its subject was
named by; the rest of the request was not read.
"""


@dataclass(eq=False)
class Called(Operation[D], Generic[D, T]):
    """The common part of commands and procedures: an async function that gets a Context."""

    run: Callable[..., Awaitable[T]] = field(kw_only=True)
    locked: bool = False

    async def within(self, ctx: Context, *given: Any) -> T:
        """As part of another operation: same transaction, own gate, own audit action and events. `given`: what the
        function takes.
        """
        if self.tenancy is not Tenancy.NONE:
            self.check_role(ctx.role, ctx.capabilities)
        outer, ctx.operation, since = ctx.operation, self, ctx.progress
        try:
            result = await self.run(ctx, *given)
            ctx.audit_outcome(result, since)
            return result
        finally:
            ctx.operation = outer

    async def admit(self, ctx: Context) -> None:
        """The gate on the context's connection; who and where is kept in the context."""
        if self.auth is Auth.NONE:
            if database.row_security:
                ctx.conn.sees(ctx.scope)
            return
        row = await self.pass_gate(ctx.conn, ctx.caller, ctx.request)
        ctx.user_id, ctx.credential_id, ctx.workspace_id = row[USER_ID], row[CREDENTIAL_ID], row[WORKSPACE_ID]
        ctx.role, ctx.capabilities = None if row[ROLE] is None else Role(row[ROLE]), row[CAPABILITIES]
        ctx.unaccepted = row[WORKSPACE_ID] if row[UNACCEPTED] else None
        ctx.standing = row
        if self.or_capability is not None:
            self.check_role(ctx.role, ctx.capabilities)
        if self.gated is not None:
            ctx.named = self._read(self.gated.model, row)
        if self.asks:
            present = list(row)[-len(self.asks) :]
            ctx.absent = tuple([each for each, there in zip(self.asks, present, strict=True) if not there])

    @property
    def gated(self) -> Subject | None:
        """Unless it is to be locked: the gate is passed before the transaction begins."""
        return None if self.locked or self.auth is Auth.NONE else self.subject

    @staticmethod
    def _read(model: type[SQLModel], row: Any) -> Any:
        names = _columns_of(model)
        values = dict(zip(names, list(row)[NAMED : NAMED + len(names)], strict=True))
        return load(model, values) if any(value is not None for value in values.values()) else None

    async def checked(self, ctx: Context) -> tuple[Any, ...]:
        """The arguments of the function: the row that the route names, and the input. Guards run between them: a caller
        without permission does not learn of faults in the body.
        """
        subject, request = self.subject, ctx.request
        beside.check_readers(ctx, self.model, request.shape)
        if self.reach is Reach.INSTANCE:
            await check_operator(ctx)
        row = None
        if subject is not None:
            row = ctx.named if self.gated is not None else await ctx.seek(subject, lock=self.locked)
            if row is None and not subject.judged_first:
                raise Refusal(Code.NOT_FOUND, subject.missing)
        for guard in self.guards:
            await guard(ctx, row, request)
        if subject is not None and row is None:
            raise Refusal(Code.NOT_FOUND, subject.missing)
        if request.fault is not None:
            raise request.fault
        data = validate(self.input, request.raw)
        await ctx.check_refs(data)
        ctx.subject = row
        return (data,) if subject is None else (row, data)

    def open(self, caller: Caller, request: Request) -> Context:
        self.require(caller, request.place)
        ctx = Context(caller, self, request)
        names.asker.set(ctx)
        ctx.anonymous, ctx.limited = self.auth is Auth.NONE, caller.kind not in MACHINES
        return ctx


NO_VERSION = "If-Match is not supported here"
MOST_ATTEMPTS = 3
"""The most attempts of a command with `again`."""


class Replayed(Exception):
    """The request was executed before: `body` is its answer, `version` that of the row in it."""

    def __init__(self, body: bytes | None, version: int | None) -> None:
        super().__init__("replayed")
        self.body, self.version = body, version


@dataclass(eq=False)
class Command(Called[D, T], Generic[D, T]):
    again: str | None = None
    refused: Refused | None = None

    kind = "command"

    async def _call(self, caller: Caller, request: Request) -> Answer:
        try:
            return await self._attempts(caller, request)
        except Refusal as refusal:
            if self.refused is not None and self.subject is not None:
                await self.refused(caller, self.subject.named(request.raw), refusal)
            raise

    async def _attempts(self, caller: Caller, request: Request) -> Answer:
        attempt = 1
        while True:
            try:
                return await self._attempt(caller, request, attempt)
            except Refusal as refusal:
                if attempt == MOST_ATTEMPTS or refusal.constraint is None or refusal.constraint != self.again:
                    raise
            attempt += 1

    async def _attempt(self, caller: Caller, request: Request, attempt: int) -> Answer:
        ctx = self.open(caller, request)
        ctx.attempt = attempt
        if request.if_version is not None and self.versioned is None:
            raise Refusal(Code.BAD_REQUEST, NO_VERSION)
        try:
            answer = await self._late(ctx) if self.late else await self._early(ctx)
        except Replayed as known:
            return Answer(known.body, known.version, replayed=True)
        for wait in ctx.afterwards:
            await wait()
        return answer

    async def admit(self, ctx: Context) -> None:
        await super().admit(ctx)
        if ctx.caller.run_id and ctx.in_transaction:
            await places.hold_run(ctx, ctx.caller.run_id)
        principal, key = self._principal(ctx), ctx.request.key
        if principal is None or key is None:
            return
        idempotency.check_key(key)
        ctx.key_place, ctx.key_holder = ctx.workspace_id, principal
        await ctx.lock(idempotency.lock_name(principal, ctx.workspace_id, self.name, key))
        row = await idempotency.stored(ctx.conn, principal, ctx.workspace_id, self.name, key)
        if row is not None:
            hash = idempotency.request_hash(self.name, ctx.request)
            raise Replayed(*idempotency.replay(row, hash, self.secret))

    async def _early(self, ctx: Context) -> Answer:
        """The gate, guards, input, the operation, its tail, COMMIT: on one connection."""
        async with database.lease() as ctx.conn:
            ctx.in_transaction = True
            try:
                await self.admit(ctx)
                answer = await self._finish(ctx, await self.run(ctx, *await self.checked(ctx)))
            except Exception as error:
                await self._end(ctx, error)
                raise
            await ctx.commit()
            finish.ring(ctx)
            return answer

    async def _late(self, ctx: Context) -> Answer:
        """The gate first; the transaction when the operation calls begin(), which passes the gate again."""
        try:
            if self.auth is not Auth.NONE:
                async with database.lease() as ctx.conn:
                    await self.admit(ctx)
                ctx.conn = None
            result = await self.run(ctx, *await self.checked(ctx))
            if not ctx.in_transaction:
                return Answer(await self._encoded(result, ctx), session=ctx.session)
            answer = await self._finish(ctx, result)
            await ctx.commit()
            finish.ring(ctx)
            return answer
        except Exception as error:
            if ctx.in_transaction:
                await self._end(ctx, error)
            raise
        finally:
            if ctx.lease is not None:
                await ctx.lease.__aexit__(None, None, None)

    async def _end(self, ctx: Context, error: Exception) -> None:
        """A refusal rolls everything back, but for operations that declare writes_on_refusal and say so."""
        if ctx.conn.is_closed():
            return
        if isinstance(error, Refusal) and error.commit:
            if not self.writes_on_refusal:
                raise RuntimeError(f"{self.name} does not declare writes_on_refusal")
            await ctx.flush()
            if ctx.audits or ctx.events or ctx.queued or ctx.records:
                await finish.finish(ctx)
            await ctx.commit()
            finish.ring(ctx)
        else:
            await ctx.roll_back()

    def _check_reach(self, ctx: Context) -> None:
        """In tests: only operations that declare it may write rows of no workspace."""
        if self.auth is not Auth.USER or self.tenancy is Tenancy.NONE or self.reach is Reach.INSTANCE:
            return
        written = {touched.model.__name__ for touched in ctx.touched if of_instance(touched.model)}
        if written or any(job.place == INSTANCE for job in ctx.queued):
            raise RuntimeError(f"{self.name} reaches the instance ({', '.join(written) or 'a job'}): declare the reach")

    async def _finish(self, ctx: Context, result: T) -> Answer:
        if instance.strict:
            self._check_reach(ctx)
        ctx.audit_outcome(result)
        if ctx.unaccepted is not None and ctx.unaccepted == ctx.workspace_id and not self.personal:
            await places.accept(ctx)
        stored = isinstance(result, SQLModel)
        asked = ctx.request.shape if stored else None
        body = None if stored else await self._encoded(result, ctx)
        kept = self._key_values(ctx, body)
        if ctx.if_version is not None:
            raise Refusal(Code.BAD_REQUEST, NO_VERSION)
        row = await finish.finish(ctx, result, asked, kept)
        payload, version = (row[0], row[1]) if asked is not None else (body, None)
        return Answer(payload, version, session=ctx.session)

    @staticmethod
    async def _encoded(result: Any, ctx: Context) -> bytes | None:
        shape = ctx.request.shape
        if result is None or shape is None or not isinstance(result, Output):
            return None if result is None else encode(result, shape)
        body: bytes = encode(result, shape, await beside.changed(ctx, result, shape))
        return body

    # ---- idempotency ---------------------------------------------------------------------------------------------

    def _principal(self, ctx: Context) -> str | None:
        """The owner of the idempotency key; None if keys are ignored: the caller is unknown, sent none, or is an agent
        (webhooks identify deliveries by it).
        """
        return (
            None
            if self.auth in (Auth.NONE, Auth.WEBHOOK) or ctx.request.key is None
            else (ctx.user_id or ctx.credential_id)
        )

    def _key_values(self, ctx: Context, body: bytes | None) -> list[Any]:
        principal, key = ctx.key_holder, ctx.request.key
        if principal is None or key is None:
            return []
        hash = idempotency.request_hash(self.name, ctx.request)
        return [principal, ctx.key_place, self.name, key, hash, None if self.secret else body]


@dataclass(eq=False)
class Procedure(Called[D, T], Generic[D, T]):
    """A read that asks a port or computes in Python: a Context that cannot write."""

    kind = "procedure"

    async def _call(self, caller: Caller, request: Request) -> Answer:
        ctx = self.open(caller, request)
        ctx.read_only = True
        if self.late or self.auth is Auth.NONE:
            if self.auth is not Auth.NONE:
                async with database.lease() as ctx.conn:
                    await self.admit(ctx)
                ctx.conn = None
            return await self._answer(ctx)
        async with database.lease() as ctx.conn:
            await self.admit(ctx)
            return await self._answer(ctx)

    async def _answer(self, ctx: Context) -> Answer:
        result = await self.run(ctx, *await self.checked(ctx))
        if isinstance(result, Streamed):
            result.admit(ctx.user_id or ctx.credential_id)
        return Answer(encode(result, ctx.request.shape), session=ctx.session)


def command(
    name: str,
    action: Action,
    *,
    auth: Auth = Auth.USER,
    tenancy: Where | None = None,
    audit: str | None = None,
    emits: type[Event] | tuple[type[Event], ...] = (),
    errors: tuple[Code, ...] = (),
    allow: Rule | tuple[Rule, ...] = (),
    surfaces: frozenset[Surface] | None = None,
    versioned: type[SQLModel] | None = None,
    secret: bool = False,
    writes_on_refusal: bool = False,
    late: bool = False,
    tickets: bool = False,
    cookies: bool = False,
    deprecated: Deprecation | None = None,
    subject: Subject | None = None,
    locked: bool = False,
    or_capability: Capability | None = None,
    again: str | None = None,
    refused: Refused | None = None,
    reach: Reach = Reach.WORKSPACE,
    asks: Existence | tuple[Existence, ...] = (),
    personal: bool = False,
    scopes: Said = OWN,
) -> Callable[[Callable[..., Awaitable[T]]], Command[Any, T]]:
    """Declares a write: `async def f(ctx, data)`, with `subject` `async def f(ctx, row, data)`.

    `subject`: the row that the route names, without which it is NOT_FOUND; `locked`: until the end of the transaction.
    `asks`: rows that the gate's statement looks for in the workspace, see `Existence`. `or_capability`: the capability
    that admits a member without the role. `again`: a unique constraint; if it is violated the command is repeated, with
    `ctx.attempt` 2. `allow`: rules after the gate and before the validation of the input, see `guards.Rule`.
    `versioned`: the table whose row `If-Match` names. `secret`: the answer is never stored. `late`: the transaction
    begins at `ctx.begin()`. `tickets`: a ticket of a live channel authenticates it, too. `cookies`: it signs a browser
    in or out, so its answer must be able to set cookies. `refused`: receives refused
    calls, for a log of them. `reach`: INSTANCE for rows of no workspace, which only the operator may change.
    `personal`, `scopes` as for a query.
    """
    if action is Action.READ:
        raise TypeError(f"{name}: a write open to every member is gated as PARTICIPATE")

    def bind(function: Callable[..., Awaitable[T]]) -> Command[Any, T]:
        model, returns = signature(function)
        return Command(
            name, action, model, returns, inspect.getdoc(function) or "", auth=auth, tenancy=place_of(auth, tenancy),
            audit=audit, emits=emits if isinstance(emits, tuple) else (emits,), errors=errors,
            allow=allow if isinstance(allow, tuple) else (allow,), surfaces=surfaces_of(auth, surfaces),
            versioned=versioned, secret=secret, writes_on_refusal=writes_on_refusal, late=late, tickets=tickets,
            cookies=cookies, deprecated=deprecated, subject=subject, locked=locked, or_capability=or_capability,
            again=again, refused=refused, reach=reach, asks=asks if isinstance(asks, tuple) else (asks,),
            personal=personal, scopes=scopes, module=function.__module__, run=function,
        )  # fmt: skip

    return bind


def procedure(
    name: str,
    action: Action = Action.READ,
    *,
    auth: Auth = Auth.USER,
    tenancy: Where | None = None,
    errors: tuple[Code, ...] = (),
    allow: Rule | tuple[Rule, ...] = (),
    surfaces: frozenset[Surface] | None = None,
    late: bool = False,
    tickets: bool = False,
    cookies: bool = False,
    deprecated: Deprecation | None = None,
    subject: Subject | None = None,
    scopes: Said = OWN,
) -> Callable[[Callable[..., Awaitable[T]]], Procedure[Any, T]]:
    """Declares a read that must await; with `subject` the function takes the row, as a command's does.

    `late`: it leaves the database in between, and holds no connection meanwhile. `tickets` and `cookies` as for a
    command, `scopes` as for a query.
    """

    def bind(function: Callable[..., Awaitable[T]]) -> Procedure[Any, T]:
        model, returns = signature(function)
        return Procedure(
            name, action, model, returns, inspect.getdoc(function) or "", auth=auth, tenancy=place_of(auth, tenancy),
            errors=errors, allow=allow if isinstance(allow, tuple) else (allow,), surfaces=surfaces_of(auth, surfaces),
            late=late, tickets=tickets, cookies=cookies, deprecated=deprecated, subject=subject,
            scopes=scopes, module=function.__module__, run=function,
        )  # fmt: skip

    return bind
