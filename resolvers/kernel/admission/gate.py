"""The permission check: credential -> workspace -> role, as the FROM of one statement, and the refusals derived from
its answer.

The select of the answer is a lateral join behind the gate: PostgreSQL evaluates it only for callers who pass, after the
variables of row-level security are set, because every tenant condition uses the workspace that `set_config` returned.

See ADR 2.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Integer, Text, and_, cast, false, func, literal, literal_column, null, or_, select, true
from sqlmodel import SQLModel

from models.base import alias_of, table_of
from models.people.auth import CliToken, Session, TokenTier
from models.people.workspaces import Membership, Role, Workspace
from resolvers.errors import Code, Reason, Refusal, forbidden, unauthenticated
from resolvers.identity.caller import MACHINES, CredentialKind
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.kernel.reader.trace import Call, Getter, Param, Trace, constant
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.database import DIALECT, database
from resolvers.kernel.store.existence import Existence


class Tenancy(StrEnum):
    NONE = "none"
    WORKSPACE = "workspace"


@dataclass(frozen=True)
class Entity:
    """The operation acts in the workspace of the row whose id is in `field`, among the caller's workspaces.

    If clients choose the ids, several workspaces may have such a row. The request then selects the workspace that it
    names, otherwise the one that the caller joined first: a stranger who adds the caller to another workspace cannot
    put a row in front.

    `lenient`, for lists of a row's children: an unknown id gives an empty list instead of a refusal.
    """

    model: type[SQLModel]
    field: str
    lenient: bool = False


Where = Tenancy | Entity
NEEDED = "workspace_id is required"
DIFFERS = "workspace_id differs from the workspace of the path"
OUTSIDE = "Not a member of this workspace"
IDLE: Any = literal_column("interval '60 seconds'")
OVERLAP = timedelta(seconds=60)
"""The validity of an access token after a refresh of its session, for requests that are under way."""
SINCE_REFRESH: Any = literal_column(f"interval '{OVERLAP.seconds} seconds'")
NO_SCOPES: Any = literal_column("NULL::text")
ONE: Any = literal_column("1")
FENCE: Any = literal_column("0")  # OFFSET 0 keeps the planner from evaluating a subquery before the one it depends on


@dataclass(slots=True)
class ReadPlan:
    """SQL text and where its parameters come from. Nothing of SQLAlchemy is left at run time."""

    sql: str
    getters: tuple[Getter, ...]
    missing: str = ""
    shape: Any = None  # keeps the identity in the plan's key alive
    roles: frozenset[Role] = frozenset()  # who passes, the gates of the shape's edges included
    used: bool = False  # since it was last looked at whether it is worth its place

    def args(self, call: Call) -> list[Any]:
        return [get(call) for get in self.getters]


def _set(value: Any) -> Any:
    """Sets until the end of the transaction, and is, what row-level security reads: a workspace's id, several with
    commas, `*`, or `@` and a user's.
    """
    return (
        func.set_config(literal_column("'crewship.workspaces'"), value, true(), type_=Text())
        if database.row_security
        else value
    )


def _person(user_id: Any) -> Any:
    """The id, set as the scope of the following reads."""
    if not database.row_security:
        return user_id
    return func.substr(_set(literal_column("'@'", Text()).concat(user_id)), literal_column("2"), type_=Text())


def who(trace: Trace, kind: CredentialKind, tenancy: Where) -> Any:
    """FROM entry of the live credential: credential_id, user_id, whether its last use is worth writing, and a token's
    scopes (JSON; NULL: all).
    """
    credential = trace.bind("credential", lambda call: call.credential)
    stale: Any
    scopes: Any = NO_SCOPES
    if kind in MACHINES:
        columns = [
            credential.label("credential_id"),
            literal("", Text()).label("user_id"),
            false().label("stale"),
            scopes.label("scopes"),
        ]
        return select(*columns).offset(FENCE).subquery("who")
    table: Any
    if kind in (CredentialKind.SESSION, CredentialKind.SESSION_TICKET):
        table = alias_of(Session, "gate_session")
        conditions = [table.c.id == credential, table.c.revoked_at.is_(None), table.c.expires_at > func.now()]
        if kind is CredentialKind.SESSION:
            conditions.append(_of_this_generation(trace, table))
        stale = table.c.last_used_at < func.now() - IDLE
    else:
        table = alias_of(CliToken, "gate_token")
        conditions = [*_named(table, kind, credential), table.c.revoked_at.is_(None)]
        conditions += [or_(table.c.expires_at.is_(None), table.c.expires_at > func.now())]
        stale = or_(table.c.last_used_at.is_(None), table.c.last_used_at < func.now() - IDLE)
        scopes = func.nullif(cast(table.c.scopes, Text), literal_column("'[]'"), type_=Text())
    user: Any = table.c.user_id
    # own memberships are looked for before any workspace is known
    if tenancy is not Tenancy.WORKSPACE:
        user = _person(user)
    columns = [table.c.id.label("credential_id"), user.label("user_id"), stale.label("stale"), scopes.label("scopes")]
    return select(*columns).where(*conditions).offset(FENCE).subquery("who")


def _of_this_generation(trace: Trace, session: Any) -> Any:
    """A refresh ends the access tokens from before it."""
    made = trace.bind("generation", lambda call: call.generation, Integer())
    before = and_(
        session.c.generation == made + literal_column("1"), session.c.refreshed_at > func.now() - SINCE_REFRESH
    )
    return or_(session.c.generation == made, before)


def _named(token: Any, kind: CredentialKind, credential: Any) -> list[Any]:
    """A ticket names the row; the token itself has a hash, and a prefix that says its tier."""
    if kind is CredentialKind.TOKEN_TICKET:
        return [token.c.id == credential]
    tier = TokenTier.ADMIN if kind is CredentialKind.ADMIN else TokenTier.STANDARD
    return [token.c.token_hash == credential, token.c.tier == literal_column(f"'{tier.value}'")]


def _own_workspaces(source: Any) -> Any:
    member = alias_of(Membership, "gate_own")
    listed = (
        select(func.string_agg(member.c.workspace_id, literal_column("','")))
        .where(member.c.user_id == source.c.user_id)
        .correlate(source)
    )
    return func.coalesce(listed.scalar_subquery(), literal_column("''"), type_=Text())


def _named_workspace(trace: Trace) -> Any:
    """The workspaces in which a machine may look for an entity: the one it is bound to or has named, otherwise all."""
    return func.coalesce(trace.bind("workspace", lambda call: call.workspace), literal_column("'*'"), type_=Text())


def place(
    trace: Trace, tenancy: Where, kind: CredentialKind, by_slug: bool, source: Any, personal: bool = False
) -> Any:
    """Lateral FROM entry of the workspace: workspace_id, role, capabilities, whether the caller has yet to accept the
    membership, and the scope of the rows. `personal`: also the caller, as whom later rows are read and written.
    """
    if tenancy is Tenancy.NONE:
        scope = _set(_own_workspaces(source)) if database.row_security else literal_column("''")
        columns = [
            null().label("workspace_id"),
            null().label("role"),
            null().label("capabilities"),
            null().label("unaccepted"),
            scope.label("scope"),
        ]
        return select(*columns).offset(FENCE).lateral("place")
    opened = _opened(trace, tenancy, kind, by_slug, source)
    role: Any
    capabilities: Any
    unaccepted: Any = false()
    tables: Any
    if kind in MACHINES:
        role, capabilities, tables = literal_column(f"'{Role.OWNER.value}'", Text()), null(), opened
    else:
        table = alias_of(Membership, "gate_membership")
        found = [table.c.workspace_id == opened.c.scope, table.c.user_id == source.c.user_id]
        member = (
            select(table.c.role, table.c.capabilities, table.c.accepted_at.is_(None).label("unaccepted"))
            .where(*found)
            .correlate(source, opened)
            .offset(FENCE)
            .lateral("gate_member")
        )
        role, capabilities, tables = member.c.role, member.c.capabilities, opened.join(member, true())
        unaccepted = member.c.unaccepted
    columns = [
        opened.c.scope.label("workspace_id"),
        role.label("role"),
        capabilities.label("capabilities"),
        unaccepted.label("unaccepted"),
        opened.c.scope.label("scope"),
    ]
    if personal:
        columns.append(_person(source.c.user_id).label("person"))
    return select(*columns).select_from(tables).offset(FENCE).lateral("place")


def _opened(trace: Trace, tenancy: Where, kind: CredentialKind, by_slug: bool, source: Any) -> Any:
    """Lateral FROM entry of the live workspace named, or of an entity: its id, set as the scope of what follows."""
    workspace = alias_of(Workspace, "gate_workspace")
    found: list[Any] = [workspace.c.deleted_at.is_(None)]
    tables: Any = workspace
    if isinstance(tenancy, Entity):
        key = trace.bind("entity", lambda call: call.entity)
        table = alias_of(tenancy.model, "gate_entity")
        own = _named_workspace(trace) if kind in MACHINES else _own_workspaces(source)
        mine = (
            select((_set(own) if database.row_security else literal_column("''")).label("set"))
            .offset(FENCE)
            .subquery("gate_mine")
        )
        live = table.c.deleted_at.is_(None) if "deleted_at" in table.c else true()
        row = select(table.c.workspace_id).where(table.c.id == key, live, mine.c.set.is_not(None))
        seen = Scope(
            Param(table.c.workspace_id, "workspace_id"),
            Param(source.c.user_id, "user_id"),
            None,
            limited=kind not in MACHINES,
        )
        hidden = seen.sees(tenancy.model, table, (source,))
        row = row.where(*hidden).correlate(source, mine) if hidden else row
        if "workspace_id" in table_of(tenancy.model).primary_key.columns:
            row = _first_of_several(row, table, trace, kind, source)
        entity = row.offset(FENCE).lateral("gate_row")
        tables = mine.join(entity, true()).join(workspace, workspace.c.id == entity.c.workspace_id)
        if kind in MACHINES:
            found.append(_named_workspace(trace).in_([literal_column("'*'"), workspace.c.id]))
    else:
        value = trace.bind("workspace", lambda call: call.workspace)
        found.append(workspace.c.slug == value if by_slug else workspace.c.id == value)
    return (
        select(_set(workspace.c.id).label("scope"))
        .select_from(tables)
        .where(*found)
        .offset(FENCE)
        .lateral("gate_opened")
    )


def _first_of_several(row: Any, table: Any, trace: Trace, kind: CredentialKind, source: Any) -> Any:
    """Selects among rows with one id in several workspaces."""
    named, known = trace.bind("workspace", lambda call: call.workspace), alias_of(Workspace, "gate_named")
    id = (
        select(known.c.id)
        .where(or_(known.c.id == named, known.c.slug == named))
        .order_by((known.c.id == named).desc())
        .limit(ONE)
        .scalar_subquery()
    )
    elsewhere = func.coalesce(and_(named.is_not(None), table.c.workspace_id != id), false())
    if kind in MACHINES:
        return row.order_by(elsewhere, table.c.created_at, table.c.workspace_id).limit(ONE)
    member = alias_of(Membership, "gate_since")
    found = [member.c.workspace_id == table.c.workspace_id, member.c.user_id == source.c.user_id]
    since = select(member.c.created_at).where(*found).correlate(source, table).scalar_subquery()
    return row.order_by(elsewhere, since, table.c.workspace_id).limit(ONE)


@dataclass(slots=True)
class Gate:
    """The gate's FROM entries while a statement is built."""

    trace: Trace
    tenancy: Where
    who: Any
    place: Any
    limited: bool
    person: Any

    @classmethod
    def build(cls, tenancy: Where, kind: CredentialKind, by_slug: bool, personal: bool = False) -> "Gate":
        """`personal`: behind the gate of the workspace, the caller's own rows are reached, wherever they are."""
        trace = Trace()
        source = who(trace, kind, tenancy)
        where = place(trace, tenancy, kind, by_slug, source, personal)
        person = where.c.person if personal else source.c.user_id
        return cls(trace, tenancy, source, where, kind not in MACHINES, person)

    def allowed(self, tenancy: Where, roles: frozenset[Role]) -> Any:
        if tenancy is Tenancy.NONE:
            return self.place.c.scope.is_not(None)
        if isinstance(tenancy, Entity) and tenancy.lenient:
            return or_(
                self.place.c.role.is_(None),
                self.place.c.role.in_([literal_column(f"'{r.value}'") for r in sorted(roles)]),
            )
        if roles == MEMBERS:
            return self.place.c.role.is_not(None)
        return self.place.c.role.in_([literal_column(f"'{r.value}'") for r in sorted(roles)])

    def scope(self, kind: type[Scope] = Scope) -> Any:
        place = self.place.c
        role = None if self.tenancy is Tenancy.NONE else Param(place.role, "role")
        return kind(Param(place.scope, "workspace_id"), Param(self.person, "user_id"), role, limited=self.limited)

    def plan(
        self,
        *answers: Any,
        missing: str = "",
        shape: Any = None,
        subject: Subject | None = None,
        asks: tuple[Existence, ...] = (),
    ) -> ReadPlan:
        """`answers`: the reads behind the gate: one with its version, or several in the columns from FIRST on. Without
        any the plan is the gate alone, with the row of `subject` in the columns from NAMED on, and in the last ones the
        existence of the rows that the operation `asks` for.
        """
        place, source = self.place.c, self.who.join(self.place, true(), isouter=True)
        columns = [self.who.c.credential_id, self.who.c.stale, place.role, self.who.c.scopes]
        for number, answer in enumerate(answers):
            lateral = answer.offset(FENCE).lateral("answer" if len(answers) == 1 else f"answer{number}")
            source = source.join(lateral, true(), isouter=True)
            columns += [lateral.c.payload, lateral.c.version] if len(answers) == 1 else [lateral.c.payload]
        if not answers:
            columns += [self.who.c.user_id, place.workspace_id, place.capabilities, place.unaccepted, place.scope]
        if subject is not None:
            named = self._named(subject)
            source = source.join(named, true(), isouter=True)
            columns += named.c
        outer = (self.who, self.place)
        columns += [
            each.found(self.scope().within(outer), outer).label(f"exists_{number}") for number, each in enumerate(asks)
        ]
        return finished(select(*columns).select_from(source), self.trace, missing, shape)

    def _named(self, subject: Subject) -> Any:
        """Lateral FROM entry of the row that the route names."""
        outer, scope = (self.who, self.place), self.scope()
        value = lambda field: self.trace.bind(f"named_{field}", lambda call: (call.named or {}).get(field))  # noqa: E731
        table = table_of(subject.model)
        found = subject.found(scope.within(outer), value, outer)
        return select(*table.c).where(*found).correlate(*outer).offset(FENCE).lateral("named")


def finished(statement: Any, trace: Trace, missing: str = "", shape: Any = None) -> ReadPlan:
    compiled = statement.compile(dialect=DIALECT)
    constants = compiled.params
    names = compiled.positiontup or ()
    return ReadPlan(
        str(compiled), tuple([trace.getters.get(name) or constant(constants[name]) for name in names]), missing, shape
    )


CREDENTIAL_ID, STALE, ROLE, SCOPES, PAYLOAD, VERSION = range(6)
USER_ID, WORKSPACE_ID, CAPABILITIES, UNACCEPTED, SCOPE, NAMED = 4, 5, 6, 7, 8, 9  # of the gate alone
FIRST = 4  # of several answers


def judge(row: Any, tenancy: Where, roles: frozenset[Role], kind: CredentialKind) -> None:
    """The refusals behind a live credential, in the contract's order: 404 (entity), 403 (membership), 403 (role). A
    program is a member of nothing: a workspace that it does not find is not there.
    """
    if tenancy is Tenancy.NONE:
        return
    if row[ROLE] is None:
        if isinstance(tenancy, Entity) and tenancy.lenient:
            return
        if isinstance(tenancy, Entity):
            raise Refusal(Code.NOT_FOUND, f"{tenancy.model.__name__} not found")
        raise (
            Refusal(Code.NOT_FOUND, "Workspace not found")
            if kind in MACHINES
            else forbidden(OUTSIDE, role=lowest(roles))
        )
    if row[ROLE] not in roles:
        raise forbidden(role=lowest(roles))


async def refuse_credential(conn: Any, kind: CredentialKind, credential: str) -> Refusal:
    """Why no live credential was found; asked only then (contract: auth.failure.reasons)."""
    if kind not in (CredentialKind.SESSION, CredentialKind.SESSION_TICKET):
        return unauthenticated(Reason.session_invalid)
    row = await conn.fetchrow("SELECT revoked_at IS NOT NULL FROM sessions WHERE id = $1", credential)
    return unauthenticated(Reason.session_revoked if row is None or row[0] else Reason.session_expired)
