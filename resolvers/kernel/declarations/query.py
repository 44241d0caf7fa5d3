"""Queries: operations that describe rows. The function is traced, never run per request. See ADR 1."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

import asyncpg
from sqlalchemy import func, select, true, union_all
from sqlmodel import SQLModel

from models.base import TenantRow, alias_of, readable, table_of
from models.people.workspaces import Role
from resolvers.errors import Code, Refusal, Requires
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel.admission.gate import (
    CREDENTIAL_ID,
    NEEDED,
    PAYLOAD,
    ROLE,
    USER_ID,
    VERSION,
    Entity,
    Gate,
    ReadPlan,
    Tenancy,
    Where,
    judge,
    refuse_credential,
)
from resolvers.kernel.admission.plans import reads
from resolvers.kernel.admission.request import Raw, Request
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.declarations.operation import (
    GRAPHQL_ONLY,
    Answer,
    Auth,
    D,
    Deprecation,
    Operation,
    Surface,
    is_key,
    place_of,
    record_admin_use,
    surfaces_of,
)
from resolvers.kernel.ground.constants import constant
from resolvers.kernel.ground.inputs import Input, NoInput, Paging, is_id, validate
from resolvers.kernel.ground.policy import Action, lowest
from resolvers.kernel.ground.scopes import OWN, Said
from resolvers.kernel.reader import Branch, Page, Read, Row, Rows, Shape, filters, roles_of
from resolvers.kernel.reader.build import Builder
from resolvers.kernel.reader.clauses import clause, onto
from resolvers.kernel.reader.shape import ELSEWHERE
from resolvers.kernel.reader.trace import Trace, variant
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.database import database

R = TypeVar("R", bound=Read[Any], covariant=True)
M = TypeVar("M", bound=SQLModel)


class PartRefused(Refusal):
    """The caller may call the query, but not follow all edges of the shape. `role`: the caller's, if there is one."""

    def __init__(self, role: str | None, readers: frozenset[Role], detail: str = "Forbidden") -> None:
        super().__init__(Code.FORBIDDEN, detail, requires=Requires(role=lowest(readers)))
        self.role = None if role is None else Role(role)


class QueryScope(Scope):
    """The selections of a traced query. It has no connection and cannot await."""

    def select(self, model: type[M]) -> Rows[M]:
        """Live rows of the workspace; of a table without workspaces, all live rows."""
        if issubclass(model, TenantRow):
            return Rows(model, where=(table_of(model).c.workspace_id == self.workspace_id,))
        return Rows(model)

    def table(self, model: type[SQLModel]) -> Any:
        """Live rows of the workspace as a FROM entry of a report."""
        table = table_of(model)
        made = select(*[table.c[name] for name in readable(model)])
        if issubclass(model, TenantRow):
            made = made.where(table.c.workspace_id == self.workspace_id)
        if "deleted_at" in table.c:
            made = made.where(table.c.deleted_at.is_(None))
        made = made.where(*self.sees(model, table, self._outer))
        return made.correlate(*self._outer).subquery()

    def matched(self, model: type[SQLModel], data: Input, among: Any = None) -> Any:
        """The rows that the filters of an input let through, as a FROM entry of a report. `among`: as for
        Rows.found_among.
        """
        table, rows = table_of(model), self.table(model)
        each = filters.of_each(data)
        conditions = [*filters.conditions(data), *([] if each is None else [each[0] == func.any(each[1])])]
        adapt = onto(rows, table)
        made = select(*rows.c).where(*map(adapt, conditions))
        if among is None:
            return made.correlate(*self._outer).subquery()
        ids = select(among.label("ids")).offset(constant(0)).correlate(*self._outer).subquery()
        parts = [made.where(rows.c.id == func.any(ids.c.ids)), made.where(ids.c.ids.is_(None))]
        found = union_all(*[part.correlate(*self._outer, ids) for part in parts]).lateral()
        return select(*found.c).select_from(ids.join(found, true())).correlate(*self._outer).subquery()

    def find(self, subject: Subject, data: Any) -> Row[Any]:
        """The row that a route names. Its columns are read by `id_of` and `children`."""
        row = (
            self.select(subject.model)
            .where(*subject.conditions(self, lambda field: getattr(data, field), self._outer))
            .one(subject.missing)
        )
        row.hidden = subject.hidden
        return row

    def id_of(self, row: Row[Any]) -> Any:
        """The id of such a row, as a value for conditions."""
        alias = alias_of(row.model)
        adapt = onto(alias, table_of(row.model))
        live = [alias.c.deleted_at.is_(None)] if "deleted_at" in alias.c else []
        found = [*[adapt(clause(c)) for c in row.conditions], *live, *self.sees(row.model, alias, self._outer)]
        return select(alias.c.id).where(*found).correlate(*self._outer).scalar_subquery()

    def children(self, row: Row[Any], model: type[M], key: str) -> Rows[M]:
        """The rows of another table whose `key` is the id of such a row."""
        return self.select(model).where(table_of(model).c[key] == self.id_of(row))

    def merge(self, model: type[M], *branches: Branch, beside: Any = None) -> Rows[M]:
        """The rows of several selects as one list, to be ordered by names and paged: a View's, of several kinds.

        `beside`: a FROM entry of one row that the branches may refer to, by `scope.around`. It is read once.
        """
        return Rows(model, branches=branches, beside=beside)

    def view(self, model: type[M], statement: Any) -> Rows[M]:
        """The rows of a report; its columns are the fields of a View."""
        return Rows(model, source=statement.correlate(*self._outer).subquery())


@dataclass(eq=False)
class Query(Operation[D], Generic[D, R]):
    describe: Callable[..., R] = field(kw_only=True)
    by_name: "Query[Any, R] | None" = field(default=None, kw_only=True)
    followed: bool = field(default=False, init=False)
    """A list in the order in which transactions end, which the primary alone knows."""
    kind = "query"

    @property
    def form(self) -> type[Read[Any]]:
        return get_origin(self.returns)  # type: ignore[no-any-return]

    @cached_property
    def on_replicas(self) -> bool:
        """Returns true if a replica may answer: lists and searches cost more than the question of how far it is."""
        return self.form.many and not self.followed

    def named(self, raw: Raw) -> tuple["Query[Any, R]", Raw]:
        """The query that GraphQL asks with this input: a value of `id` that is no id is a name."""
        other, value = self.by_name, raw.get("id")
        if other is None or not isinstance(value, str) or is_id(value) or not is_key(value):
            return self, raw
        return other, dict.fromkeys(other.input.model_fields, value)

    def paged(self, name: str) -> "Query[Any, Any]":
        """Declares the list once more in pages, for GraphQL, beside the field that answers all of it. It keeps the
        gate, scopes, filters, rows and order of the list.
        """
        if self.form is not Rows:
            raise TypeError(f"{self.name}: it is no list without pages")
        rows: Any = self.describe
        pages: Any = Page

        def in_pages(*asked: Any) -> Any:
            return rows(*asked).page(asked[-1])

        in_pages.__module__ = self.module
        own = {"__doc__": self.input.__doc__, "__module__": self.module}
        return replace(
            self,
            name=name,
            input=type(f"{self.input.__name__}InPages", (self.input, Paging), own),
            returns=pages[self.model],
            doc=self.doc.replace(".", " in pages.", 1),
            surfaces=GRAPHQL_ONLY,
            plans={},
            describe=in_pages,
        )

    def within(self, scope: QueryScope, data: D) -> R:
        """The same rows, to be narrowed by another query."""
        if self.subject is None:
            return self.describe(scope, data)
        row = scope.find(self.subject, data)
        read = self.describe(scope, row, data)
        return read if read is row else read.under(row)

    async def _call(self, caller: Caller, request: Request) -> Answer:
        shape, place = request.shape, request.place
        if shape is None:
            raise TypeError(f"{self.name} needs a shape")
        self.require(caller, place)
        passed = False
        try:
            if request.also:
                async with database.lease() as conn:
                    await self.ask_gate(conn, caller, request)
            if self.needs_place(place) or request.fault is not None:
                raise request.fault or Refusal(Code.BAD_REQUEST, NEEDED)
            data = validate(self.input, request.raw)
            by_slug = self.tenancy is Tenancy.WORKSPACE and not is_id(place or "")
            key = (id(shape), caller.kind, by_slug, variant(data), *[variant(s) for s in request.slots])
            plan = self.plans.get(key)
            if plan is None:
                passed = True
                plan = await self._new_plan(caller, request, shape, key, data)
            else:
                plan.used = True
            args = plan.args(self.call_of(caller, request, data))
        except Refusal:
            if not passed:
                async with database.lease() as conn:  # only a caller who passes the gate learns of a bad input
                    await self.pass_gate(conn, caller, request)
            raise
        if caller.kind is CredentialKind.ADMIN and not passed:
            async with database.lease() as conn:
                await record_admin_use(conn, caller)
        try:
            row = await database.reads(self.on_replicas).fetchrow(plan.sql, args)
        except asyncpg.DataError:
            async with database.lease() as conn:
                await self.ask_gate(conn, caller, request)
            raise
        if row is None:
            async with database.lease() as conn:
                raise await refuse_credential(conn, caller.kind, caller.credential)
        self.check_scopes(row, shape, request.raw)
        judge(row, self.tenancy, self.roles, caller.kind)
        self.used(caller, row)
        if self.lacks_place(row, self.tenancy, place):
            async with database.lease() as conn:
                await self.ask_gate(conn, caller, request, Tenancy.WORKSPACE)
        if row[PAYLOAD] is None:
            if row[ROLE] is not None and row[ROLE] not in plan.roles:
                raise PartRefused(row[ROLE], plan.roles)
            raise Refusal(Code.NOT_FOUND, plan.missing)
        return Answer(row[PAYLOAD], row[VERSION])

    async def _new_plan(self, caller: Caller, request: Request, shape: Shape, key: Any, data: D) -> ReadPlan:
        """Passes the gate with a small statement first: nothing is compiled for unknown credentials or callers without
        permission.
        """
        async with database.lease() as conn:
            row = await self.pass_gate(conn, caller, request)
        roles = self.readers(shape)
        if row[ROLE] is not None and row[ROLE] not in roles:
            raise PartRefused(row[ROLE], roles)
        _, kind, by_slug, *_ = key
        return await self.compiled(
            reads,
            key,
            row[USER_ID] or row[CREDENTIAL_ID],
            lambda: self._compile(kind, by_slug, request, data, roles),
        )

    def readers(self, shape: Shape) -> frozenset[Role]:
        """The roles that may follow every edge of the shape."""
        roles = self.roles & roles_of(self.model, shape)
        # over several workspaces there is no one role to judge
        if self.tenancy is Tenancy.NONE and roles != self.roles:
            raise PartRefused(None, roles, ELSEWHERE)
        return roles

    def _compile(
        self, kind: CredentialKind, by_slug: bool, request: Request, data: Any, roles: frozenset[Role]
    ) -> ReadPlan:
        gate = Gate.build(self.tenancy, kind, by_slug, self.personal)
        read, answer = self.compiled_answer(gate, gate.trace, request, data, roles)
        plan = gate.plan(answer, missing=read.missing, shape=request.shape)
        plan.roles = roles
        return plan

    def compiled_answer(
        self, gate: Gate, trace: Trace, request: Request, data: Any, roles: frozenset[Role], beside: int = 1
    ) -> tuple[Read[Any], Any]:
        """Returns the Read and the select of the answer, which is placed behind the gate. `beside`: the number of
        selects there.
        """
        outer, shape = (gate.who, gate.place), request.shape
        assert shape is not None
        scope = gate.scope(QueryScope).within(outer)
        read = self.within(scope, trace.symbolic(self.input, data))  # type: ignore[arg-type]
        builder = Builder(trace, scope, request.slots)
        builder.room //= beside
        return read, builder.answer(read, shape, outer, gate.allowed(self.tenancy, roles))


def signature(function: Any) -> tuple[type[Input], Any]:
    hints = get_type_hints(function)
    return hints.get("data", NoInput), hints.get("return")


def query(
    name: str,
    action: Action = Action.READ,
    *,
    auth: Auth = Auth.USER,
    tenancy: Where | None = None,
    errors: tuple[Code, ...] = (),
    surfaces: frozenset[Surface] | None = None,
    tickets: bool | None = None,
    deprecated: Deprecation | None = None,
    subject: Subject | None = None,
    personal: bool = False,
    scopes: Said = OWN,
    names: Query[Any, Any] | None = None,
) -> Callable[[Callable[..., R]], Query[Any, R]]:
    """Declares a read that can be described as rows. `def f(scope, data) -> Row[M] | Rows[M] | Page[M]`.

    `subject`: the row that the route names, `def f(scope, row, data)`; its children are NOT_FOUND if it does not exist.
    `tickets`: whether a ticket of a live channel authenticates it; by default if the rows belong to a workspace.
    `personal`: the request names a workspace, and the rows are the caller's own in all workspaces. `scopes`: if they
    are not the domain's. `names`: the query that finds the same row by its id, which GraphQL asks by name, too.
    """

    place = place_of(auth, tenancy)

    def bind(function: Callable[..., R]) -> Query[Any, R]:
        model, returns = signature(function)
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}: a query is a plain def; use @procedure for a read that must await")
        made = Query(
            name,
            action,
            model,
            returns,
            inspect.getdoc(function) or "",
            auth=auth,
            tenancy=place,
            errors=errors,
            surfaces=surfaces_of(auth, surfaces),
            tickets=auth is Auth.USER and place is not Tenancy.NONE if tickets is None else tickets,
            deprecated=deprecated,
            subject=subject,
            personal=personal,
            scopes=scopes,
            module=function.__module__,
            describe=function,
        )
        if names is not None:
            names.by_name = made
        return made

    return bind


__all__ = ["Entity", "Query", "QueryScope", "query", "signature"]
