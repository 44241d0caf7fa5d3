"""Operations: one declaration, one pipeline, for every surface."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin

import asyncpg
import orjson
from sqlmodel import SQLModel

from models.base import new_id
from models.bounds import ID
from models.people.workspaces import Capability, Role
from resolvers.errors import TOO_LONG, UNSTORABLE, Code, Reason, Refusal, Requires, forbidden, unauthenticated
from resolvers.identity.caller import TICKETS, Caller, CredentialKind, SessionChange
from resolvers.instance.running import instance
from resolvers.instance.store import Arriving
from resolvers.instance.telemetry import Meter, log
from resolvers.kernel.admission.gate import (
    CREDENTIAL_ID,
    DIFFERS,
    NEEDED,
    ROLE,
    SCOPE,
    SCOPES,
    STALE,
    USER_ID,
    WORKSPACE_ID,
    Entity,
    Gate,
    ReadPlan,
    Tenancy,
    Where,
    judge,
    refuse_credential,
)
from resolvers.kernel.admission.guards import Guard, Rule
from resolvers.kernel.admission.plans import Compilation, budget
from resolvers.kernel.admission.request import Raw, Request
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.admission.uses import uses
from resolvers.kernel.declarations.events import Event
from resolvers.kernel.ground import scopes as token_scopes
from resolvers.kernel.ground.inputs import Input, is_id
from resolvers.kernel.ground.policy import GATES, MEMBERS, Action, effective, lowest
from resolvers.kernel.reader import Shape, Withheld, scopes_of
from resolvers.kernel.reader.build import LARGEST_ANSWER
from resolvers.kernel.reader.filters import scopes_of_filters
from resolvers.kernel.reader.trace import Call
from resolvers.kernel.store.database import database, unavailable
from resolvers.kernel.store.existence import Existence

D = TypeVar("D", bound=Input)

OPERATIONS: dict[str, "Operation[Any]"] = {}
_gates: dict[Any, ReadPlan] = {}  # the gate alone, of every tenancy and kind of credential


class Auth(StrEnum):
    """Which credentials count."""

    NONE = "none"
    USER = "user"
    INTERNAL = "internal"
    WEBHOOK = "webhook"


USERS = frozenset({CredentialKind.SESSION, CredentialKind.TOKEN, CredentialKind.ADMIN})
CREDENTIALS: dict[Auth, frozenset[CredentialKind]] = {
    Auth.NONE: frozenset(CredentialKind),
    Auth.USER: USERS | {CredentialKind.SERVICE},
    Auth.INTERNAL: frozenset({CredentialKind.INTERNAL, CredentialKind.SERVICE}),
    Auth.WEBHOOK: frozenset({CredentialKind.WEBHOOK}),
}
TOO_SLOW = "CS503"  # SQLSTATE of a search that has looked long enough and found nothing
UNFOUND = "The search found nothing within its time limit; narrow it, for example with a start time"
ONLY_EXCLUDES = "CS400"  # SQLSTATE of a search that names no word to look for
NO_WORD = "Each side of an `or` needs a word to find, not only excluded words"
TOO_LARGE = "CS413"  # SQLSTATE of answer_too_large(), which a statement calls
DENIED = frozenset({Code.UNAUTHENTICATED, Code.FORBIDDEN})
BROKEN = frozenset({Code.UNAVAILABLE, Code.BAD_GATEWAY})


class Surface(StrEnum):
    REST = "rest"
    GRAPHQL = "graphql"


BOTH = frozenset(Surface)
REST_ONLY = frozenset({Surface.REST})
GRAPHQL_ONLY = frozenset({Surface.GRAPHQL})
NO_SURFACE: frozenset[Surface] = frozenset()
"""Neither a route nor a field: for parts of this server, such as its runtime and its sockets."""


class Deprecation(NamedTuple):
    """Dates are ISO; `use` names the replacement."""

    since: str
    sunset: str
    use: str


class Answer(NamedTuple):
    """JSON as PostgreSQL or orjson wrote it; None without a body. `version` of the row, if it has one.

    `replayed`: the stored answer of the same request. `session`: the effect on the browser's session. `withheld`: what
    is null because the caller's role may not read it.
    """

    body: bytes | None
    version: int | None = None
    replayed: bool = False
    session: SessionChange | None = None
    withheld: tuple[Withheld, ...] = ()


def place_of(auth: Auth, tenancy: Where | None) -> Where:
    """An operation without authentication has no workspace."""
    return tenancy or (Tenancy.NONE if auth is Auth.NONE else Tenancy.WORKSPACE)


def surfaces_of(auth: Auth, surfaces: frozenset[Surface] | None) -> frozenset[Surface]:
    """Operations that only machines call are not in GraphQL."""
    if surfaces is not None:
        return surfaces
    return REST_ONLY if auth in (Auth.INTERNAL, Auth.WEBHOOK) else BOTH


class Reach(StrEnum):
    """The rows that a command changes. INSTANCE: rows of no workspace, so only the operator may call it."""

    WORKSPACE = "workspace"
    INSTANCE = "instance"


@dataclass(eq=False)
class Operation(Generic[D]):
    """The facts of an operation that surfaces may read, and the parts of the pipeline that all kinds share."""

    name: str
    action: Action
    input: type[D]
    returns: Any
    doc: str
    auth: Auth = Auth.USER
    tenancy: Where = Tenancy.WORKSPACE
    audit: str | None = None
    emits: tuple[type[Event], ...] = ()
    errors: tuple[Code, ...] = ()
    allow: tuple[Rule, ...] = ()
    surfaces: frozenset[Surface] = BOTH
    versioned: type[SQLModel] | None = None
    secret: bool = False
    writes_on_refusal: bool = False
    late: bool = False
    tickets: bool = False
    cookies: bool = False
    deprecated: Deprecation | None = None
    subject: Subject | None = None
    or_capability: Capability | None = None
    reach: Reach = Reach.WORKSPACE
    asks: tuple[Existence, ...] = ()
    personal: bool = False
    scopes: token_scopes.Said = token_scopes.OWN
    module: str = ""
    plans: dict[Any, ReadPlan] = field(default_factory=dict, repr=False)
    announces: Any = field(default=None, init=False)
    """The event that the kernel sends with the audit row, see `row_events`."""

    kind = "operation"

    def __post_init__(self) -> None:
        if self.subject is not None and Code.NOT_FOUND not in self.errors:
            self.errors = (Code.NOT_FOUND, *self.errors)
        if self.name in OPERATIONS:
            raise RuntimeError(f"two operations are named {self.name}")
        if isinstance(self.tenancy, Entity) and self.tenancy.field not in self.input.model_fields:
            raise TypeError(f"{self.name}: the input has no field {self.tenancy.field}")
        if isinstance(self.tenancy, Entity) and self.tenancy.lenient and self.kind != "query":
            raise TypeError(f"{self.name}: only a query can find nothing")
        if self.auth in (Auth.INTERNAL, Auth.WEBHOOK) and Surface.GRAPHQL in self.surfaces:
            raise TypeError(f"{self.name}: what only machines call is no part of the graph")
        if self.auth is Auth.WEBHOOK and not self.allow:
            raise TypeError(f"{self.name}: the webhook is not verified; declare a guard")
        if self.personal and (self.tenancy is not Tenancy.WORKSPACE or self.asks):
            raise TypeError(f"{self.name}: it names a workspace, and reaches the caller's own rows alone")
        if self.subject is not None:
            self.subject.check(self.name, self.input)
        if self.asks and (self.auth is Auth.NONE or self.tenancy is Tenancy.NONE):
            raise TypeError(f"{self.name}: no workspace is known that could be asked for rows")
        self.guards = [Guard.of(self.name, rule, self.subject) for rule in self.allow]
        OPERATIONS[self.name] = self
        self.credentials = CREDENTIALS[self.auth] | (TICKETS if self.tickets else frozenset())
        # answers that a surface documents as this operation's own, parts of other rows included
        self.published: list[Callable[[], Shape | None]] = []
        self.meter = Meter(self.name)
        self.called: tuple[str, ...] = ()
        """The names of its fields in the graph, which the surface adds."""
        self.roles: frozenset[Role] = GATES[self.action] if self.or_capability is None else MEMBERS
        """The roles that pass the gate. Whether a member without the role has the capability is checked after it."""

    @cached_property
    def needs(self) -> token_scopes.Scopes:
        """The scopes that a token with scopes must have; None where none will do. Asked when all domains are loaded."""
        if self.scopes != token_scopes.OWN:
            return token_scopes.needed(self.scopes, self.kind)
        if self.auth is Auth.INTERNAL:
            return token_scopes.needed("internal", self.kind)  # which no token has
        domain = token_scopes.domain_of(self.module)
        return None if domain is None else domain.needs(self.kind)

    @cached_property
    def requires(self) -> Requires:
        """The rights that its gate asks for, for clients. Asked when all domains are loaded."""
        role = None if self.tenancy is Tenancy.NONE or self.auth is Auth.NONE else lowest(GATES[self.action])
        return Requires(role, self.or_capability, " ".join(sorted(self.needs or ())) or None)

    @property
    def model(self) -> Any:
        """The class of the result, without Page, Row, list and Optional."""
        kind = self.returns
        while get_origin(kind) is not None:
            kind = next(a for a in get_args(kind) if a is not type(None))
        return kind

    async def __call__(
        self,
        caller: Caller,
        raw: Raw,
        shape: Shape | None = None,
        slots: tuple[Input, ...] = (),
        place: str | None = None,
        *,
        if_version: int | None = None,
        key: str | None = None,
        fault: Refusal | None = None,
        upload: Arriving | None = None,
        also: tuple[str, ...] = (),
    ) -> Answer:
        """Runs the whole pipeline. Every failure leaves as a Refusal; an unexpected one as INTERNAL, without details.
        The arguments become a Request.
        """
        started, code = perf_counter(), None
        try:
            place = place or caller.workspace
            return await self._call(caller, Request(raw, shape, slots, place, also, if_version, key, fault, upload))
        except Exception as error:
            refusal = error if isinstance(error, Refusal) else translate(error)
            code = refusal.code.value
            self.tell(caller, refusal, error)
            if refusal is error:
                raise
            raise refusal from error
        finally:
            self.meter.observe(perf_counter() - started, code)

    async def _call(self, caller: Caller, request: Request) -> Answer:
        raise NotImplementedError

    def tell(self, caller: Caller, refusal: Refusal, error: Exception) -> None:
        """Logs one line for operators: refused writes, and internal errors. Never the content of the request."""
        if refusal.code is Code.INTERNAL:
            log.error("operation failed", operation=self.name, exc_info=error)
        elif refusal.code in BROKEN:
            log.warning(
                "operation unavailable",
                operation=self.name,
                code=refusal.code.value,
                cause=type(error.__cause__ or error).__name__,
            )
        elif refusal.code in DENIED and self.kind == "command":
            log.info(
                "write denied",
                operation=self.name,
                code=refusal.code.value,
                reason=refusal.reason,
                credential=caller.kind.value,
                client=caller.client,
            )

    # ---- the gate ------------------------------------------------------------------------------------------------

    def require(self, caller: Caller, place: str | None) -> None:
        """A credential of the kind this operation takes, good for the workspace it is to act in; whether it is genuine,
        the gate asks.
        """
        if caller.reads_only and self.kind == "command":
            raise forbidden("A ticket in a URL is valid for subscriptions and queries only")
        if caller.kind not in self.credentials:
            if caller.kind in TICKETS:
                raise forbidden("A ticket is not valid for this")
            raise caller.refused or (
                forbidden() if self.auth is Auth.INTERNAL else unauthenticated(caller.reason or Reason.no_credentials)
            )
        of_one = caller.kind is CredentialKind.INTERNAL and not caller.any_workspace
        if of_one and (caller.bound is None or caller.bound != place):
            raise forbidden()

    def needs_place(self, place: str | None) -> bool:
        return self.tenancy is Tenancy.WORKSPACE and not place

    async def pass_gate(self, conn: Any, caller: Caller, request: Request) -> Any:
        """The gate alone: the row of who and where, or the first refusal that applies."""
        if caller.kind is CredentialKind.ADMIN:
            await record_admin_use(conn, caller)
        return await self.ask_gate(conn, caller, request)

    async def ask_gate(self, conn: Any, caller: Caller, request: Request, tenancy: Where | None = None) -> Any:
        """The same where the use of the credential is recorded already. `tenancy`: another than the operation's own."""
        place = request.place
        tenancy = tenancy or (Tenancy.NONE if self.needs_place(place) else self.tenancy)
        by_slug = tenancy is Tenancy.WORKSPACE and not is_id(place or "")
        own = tenancy is self.tenancy
        subject, asks, personal = (self.gated, self.asks, self.personal) if own else (None, (), False)
        key = (tenancy, caller.kind, by_slug, database.row_security, subject, asks, personal)
        plan = _gates.get(key)
        if plan is None:
            gate = Gate.build(tenancy, caller.kind, by_slug, personal)
            plan = _gates[key] = gate.plan(subject=subject, asks=asks)
        row = await conn.fetchrow(plan.sql, *plan.args(self.call_of(caller, request, tenancy=tenancy)))
        if row is None:
            raise await refuse_credential(conn, caller.kind, caller.credential)
        if database.row_security:  # what the statement has set has ended with it
            conn.sees(f"@{row[USER_ID]}" if personal else row[SCOPE] or "")
        self.check_scopes(row, request.shape, request.raw)
        if self.needs_place(place):
            raise Refusal(Code.BAD_REQUEST, NEEDED)
        judge(row, tenancy, self.roles, caller.kind)
        self.used(caller, row)
        if request.also:
            await self.check_names(conn, row[WORKSPACE_ID], request.also)
        if self.lacks_place(row, tenancy, place):
            await self.ask_gate(conn, caller, request, Tenancy.WORKSPACE)
        return row

    @staticmethod
    async def check_names(conn: Any, workspace_id: str, names: tuple[str, ...]) -> None:
        """Compares names of workspaces by their rows. Only a caller who has passed the gate learns of a difference."""
        slug = await conn.fetchval("SELECT slug FROM workspaces WHERE id = $1", workspace_id)
        if any(name != (workspace_id if is_id(name) else slug) for name in names):
            raise Refusal(Code.BAD_REQUEST, DIFFERS)

    def lacks_place(self, row: Any, tenancy: Where, place: str | None) -> bool:
        """A lenient entity was not found, and a workspace was named beside it: whether that is the caller's is asked as
        everywhere.
        """
        return row[ROLE] is None and bool(place) and isinstance(tenancy, Entity)

    def check_role(self, role: Role | None, capabilities: Any) -> None:
        """Refuses a caller without the role, and without the capability in place of it. `capabilities` as stored."""
        if role is not None and role in GATES[self.action]:
            return
        if role is None or self.or_capability is None or self.or_capability not in effective(role, capabilities):
            raise forbidden(role=lowest(GATES[self.action]), capability=self.or_capability)

    def check_scopes(self, row: Any, shape: Shape | None, raw: Raw | None = None) -> None:
        """A token with scopes needs the scopes of the operation and, for each edge, of the edge's target; and for each
        filter in use, the filter's.
        """
        if row[SCOPES] is None:
            return
        needs = self.needs
        if shape is not None and shape not in [published() for published in self.published]:
            needs = token_scopes.together(needs, scopes_of(self.model, shape))
        used = [scope for name, scope in scopes_of_filters(self.input).items() if (raw or {}).get(name) is not None]
        needs = token_scopes.together(needs, frozenset(used))
        token_scopes.check(orjson.loads(row[SCOPES]), needs)

    def call_of(self, caller: Caller, request: Request, data: Any = None, tenancy: Where | None = None) -> Call:
        raw, place, tenancy = request.raw, request.place, tenancy or self.tenancy
        entity = raw.get(tenancy.field) if isinstance(tenancy, Entity) else None
        entity = entity if isinstance(entity, str) and is_key(entity) else None
        workspace = place if place is None or is_key(place) else ""
        named = None if self.gated is None else self.gated.named(raw)
        return Call(
            caller.credential, workspace, data, request.slots, entity, generation=caller.generation, named=named
        )

    @property
    def gated(self) -> Subject | None:
        """The row that is read with the gate, in one statement."""
        return None

    def used(self, caller: Caller, row: Any) -> None:
        if row[STALE] and not caller.away:
            uses.note(caller.kind, row[CREDENTIAL_ID])

    async def compiled(self, by: Compilation, key: Any, principal: str, build: Callable[[], ReadPlan]) -> ReadPlan:
        """Compiles a new plan off the event loop and keeps it. Only for callers who have passed the gate and have
        compilations left.
        """

        def pay() -> None:
            if instance.limited:
                budget.take(principal)

        return await by.plan(self.plans, key, build, pay)


def answered() -> list[type[SQLModel]]:
    """The models whose rows operations answer with."""
    return [op.model for op in OPERATIONS.values() if isinstance(op.model, type) and issubclass(op.model, SQLModel)]


def is_key(text: str) -> bool:
    """Returns true if a row can have this id or slug."""
    return len(text) <= ID and "\0" not in text


async def record_admin_use(conn: Any, caller: Caller) -> None:
    """Writes every use of an ADMIN token before the request continues (contract: cli_token.on_use)."""
    sql = (
        "INSERT INTO admin_token_uses (id, token_id, used_at, ip, user_agent, path) SELECT $1, id, now(), $2, $3, $4"
        " FROM cli_tokens WHERE token_hash = $5 AND revoked_at IS NULL AND expires_at > now()"
    )
    await conn.execute(sql, new_id(), caller.client[:64], caller.user_agent[:250], caller.path[:500], caller.credential)


def translate(error: Exception) -> Refusal:
    """Translates errors of a database that is unavailable, overloaded or given invalid data; any other error is our
    fault.
    """
    if isinstance(error, (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)):
        return Refusal(Code.CONFLICT, "The same rows were changed meanwhile; try again")
    if getattr(error, "sqlstate", None) == TOO_LARGE:
        return Refusal(
            Code.TOO_LARGE, f"The answer is larger than {LARGEST_ANSWER // 2**20} MiB: ask for fewer rows or fields"
        )
    if getattr(error, "sqlstate", None) == TOO_SLOW:
        return Refusal(Code.UNAVAILABLE, UNFOUND)
    if getattr(error, "sqlstate", None) == ONLY_EXCLUDES:
        return Refusal(Code.BAD_REQUEST, NO_WORD)
    if isinstance(error, asyncpg.StringDataRightTruncationError):
        return Refusal(Code.BAD_REQUEST, TOO_LONG)
    if isinstance(error, (asyncpg.DataError, asyncpg.ProgramLimitExceededError)):
        return Refusal(Code.BAD_REQUEST, UNSTORABLE)
    lost = (
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.ReadOnlySQLTransactionError,  # a server that was the primary
        asyncpg.InsufficientResourcesError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # the next call on a connection whose end came as a message of the server
        OSError,
        TimeoutError,
    )
    if isinstance(error, lost):
        return unavailable()
    return Refusal(Code.INTERNAL, "Internal error")
