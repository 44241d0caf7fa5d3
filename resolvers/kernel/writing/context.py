"""One call of a command or procedure: the only door to rows, and what is to be recorded with the change."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Text, delete, literal, select, update
from sqlmodel import SQLModel

from models.base import TenantRow, only_sealed, readable, table_of
from models.machines import Machine, S
from models.people.workspaces import Capability, Role
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import SessionChange
from resolvers.instance.running import Instance, instance
from resolvers.kernel.admission import places
from resolvers.kernel.admission.gate import WORKSPACE_ID, Entity
from resolvers.kernel.admission.refs import counting, named_by, refs_of, refuse_unknown
from resolvers.kernel.admission.subject import Subject, finding
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.ground.policy import GATES, Action, effective
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.reader.visibility import Scope, hides
from resolvers.kernel.store import statements
from resolvers.kernel.store.changes import NOW, Change, Conflict, Edit, HeldInsert, Waiting, bound, given, kinds_of
from resolvers.kernel.store.database import Lease, database
from resolvers.kernel.store.sending import TAKEN, run
from resolvers.kernel.store.statements import ONE
from resolvers.kernel.writing.moves import meanwhile, no_way
from resolvers.kernel.writing.recorder import Recorder, Touched
from resolvers.kernel.writing.selection import Selection, outdated

M = TypeVar("M", bound=SQLModel)


@dataclass(slots=True)
class Context(Recorder):
    conn: Any = None
    role: Role | None = None
    capabilities: list[str] | None = None
    attempt: int = 1  # of a command that is carried out `again`
    anonymous: bool = False  # the operation asks for no credential: there is no caller whose sight could be limited
    limited: bool = True  # as for visibility.hides
    begun: bool = False  # PostgreSQL has begun: with the first statement that writes or locks
    held: Waiting | None = None
    named: Any = None  # the row that the route names, where the gate's statement has found it
    standing: Any = None  # the gate's row of who calls, and where
    absent: tuple[Any, ...] = ()  # what the gate was asked for, and has seen that there is none of it
    lease: Lease | None = None
    compared: bool = False  # the version that the request expects
    # the workspace an idempotency key counts in: a command that creates one enters it afterwards
    key_place: str | None = None
    key_holder: str | None = None  # the owner of the key, even if the call continues as another user
    session: SessionChange | None = None

    # ---- reading -------------------------------------------------------------------------------------------------

    async def get(self, model: type[M], id: str, *, lock: bool = False, missing: str | None = None) -> M:
        """The live row of this workspace, or NOT_FOUND. `lock`: FOR NO KEY UPDATE."""
        statement = statements.getting(model, lock, self._limits(model))
        row = await self._one(statement.sql, statement.values({"id_": id} | self._known), begins=lock)
        if row is None:
            raise Refusal(Code.NOT_FOUND, missing or f"{model.__name__} not found")
        return statements.load(model, row)

    async def find(self, subject: Subject) -> Any:
        """The row that the route names, or NOT_FOUND, for operations that report faults of the body first."""
        self.subject = await self.seek(subject)
        if self.subject is None:
            raise Refusal(Code.NOT_FOUND, subject.missing)
        return self.subject

    async def seek(self, subject: Subject, *, lock: bool = False) -> Any:
        """The row that the route names, if there is one."""
        named = {f"named_{field}": value for field, value in subject.named(self.request.raw).items()}
        statement = finding(
            subject, lock, self._limits(subject.model) or any(self._limits(model) for model in subject.parents)
        )
        row = await self._one(statement.sql, statement.values(named | self._known), begins=lock)
        return None if row is None else statements.load(subject.model, row)

    async def check_refs(self, data: Input) -> None:
        """BAD_REQUEST for ids in the input that name no row of the workspace; see Ref."""
        if not (sent := named_by(data)):
            return
        refs = dict(refs_of(type(data)))
        limited = frozenset(refs[path].model for path in sent if self._limits(refs[path].model))
        statement = counting(type(data), tuple(sent), limited)
        ids = {f"ids_{'.'.join(path)}": ids for path, ids in sent.items()}
        refuse_unknown(
            type(data), sent, await self._one(statement.sql, statement.values(ids | self._known), begins=False)
        )

    def select(
        self, model: type[M], *conditions: Any, including_deleted: bool = False, including_hidden: bool = False
    ) -> Selection[M]:
        """Rows of this workspace, or of a table without workspaces. Live and visible ones by default.

        `including_hidden`: for rules that hold for every viewer, such as a limit on their number.
        """
        return Selection(
            self,
            model,
            tuple(clause(c) for c in (*self._door(model, including_deleted, including_hidden), *conditions)),
        )

    def table(self, model: type[SQLModel], *, including_deleted: bool = False) -> Any:
        """Rows that the caller may see as a FROM entry of a report; live ones by default."""
        return select(*readable(model).values()).where(*self._door(model, including_deleted)).subquery()

    async def report(self, statement: Any) -> list[Any]:
        """The records of a statement over such entries."""
        return await self._many(statement, begins=False)

    def _door(
        self, model: type[SQLModel], including_deleted: bool = False, including_hidden: bool = False
    ) -> list[Any]:
        table, conditions = table_of(model), []
        if issubclass(model, TenantRow):
            conditions.append(table.c.workspace_id == self.workspace_id)
        if not including_deleted and "deleted_at" in table.c:
            conditions.append(table.c.deleted_at.is_(None))
        if not including_hidden and self._limits(model):
            known = self._known
            conditions += Scope.of(lambda name: literal(known[f"scope_{name}"], Text())).sees(model, table)
        return conditions

    def _limits(self, model: type[SQLModel]) -> bool:
        """Returns true if some rows of the model are hidden from this caller."""
        return not self.anonymous and hides(model, self.limited)

    @property
    def _known(self) -> dict[str, Any]:
        """The parameters of a statement that describe the caller."""
        return {"scope_workspace": self.workspace_id, "scope_user_id": self.user_id, "scope_role": self.role}

    # ---- writing -------------------------------------------------------------------------------------------------

    async def insert(self, row: M, *, conflict: Conflict = TAKEN, change: Change | None = None) -> M:
        """A new row. It is sent with the next statement, or with the answer; `conflict` is the text when a unique key
        is taken.

        `change`: another row that changes in the same statement. What the new row takes from it stays a column until it
        is sent: the operation may hand it on to `audit` and to an event's `Drawn` fields, and look at it no further.
        """
        self._writes()
        await self.flush()
        if isinstance(row, TenantRow):
            row.__dict__["workspace_id"] = self.workspace_id
        self.touched.append(Touched.of(row))
        self.held = HeldInsert.of(row, conflict, change, change is not None and self._limits(change.model))
        return row

    async def audit_here(self, entity_type: str, entity_id: str, /, action: str, **data: Any) -> None:
        """Writes an audit row at once, for calls that pass through several workspaces."""
        self.audit(entity_type, entity_id, action=action, **data)
        await self.insert_all([self.audit_row(self.audits.pop())])

    async def insert_all(self, rows: Sequence[SQLModel], *, conflict: Conflict = TAKEN) -> None:
        """New rows of one table, in one statement."""
        if not rows:
            return
        self.record(*rows)
        added, self.records = self.records[-len(rows) :], self.records[: -len(rows)]
        columns = given(rows[0])
        await self._one(statements.adding(type(rows[0]), columns), statements.columns_of(added, columns), conflict)

    async def send_records(self) -> None:
        """Writes the records before the answer is read."""
        tables = dict[tuple[type[SQLModel], tuple[str, ...]], list[SQLModel]]()
        for row in self.records:
            tables.setdefault((type(row), given(row)), []).append(row)
        self.records = []
        for rows in tables.values():
            await self.insert_all(rows)

    async def upsert(self, row: M, *keys: str) -> M:
        """A new row, or the one with the same `keys` replaced."""
        self._writes()
        if isinstance(row, TenantRow):
            row.__dict__["workspace_id"] = self.workspace_id
        statement = statements.upserting(type(row), given(row), keys, self._limits(type(row)))
        sent = statement.sql, statement.values(self._known | row.__dict__)
        stored = await self._one(*sent) or await self._one(*sent)  # one that came at the same time is seen by now
        if stored is None:
            raise Refusal(Code.CONFLICT, TAKEN)
        before, after = statements.old_and_new(stored)
        return self.altered(statements.load(type(row), after), before)

    async def update(
        self, model: type[M], id: str, /, *, conflict: Conflict = TAKEN, missing: str | None = None, **changes: Any
    ) -> M:
        """Changes the live row of this workspace, and raises its version where that is an edit; NOT_FOUND, CONFLICT or
        PRECONDITION_FAILED.
        """
        return await self._update(model, id, conflict, missing, changes)

    async def edit(self, row: M, /, *, conflict: Conflict = TAKEN, **changes: Any) -> M:
        """Changes a row that the operation has read, as `update` does; it is sent with the next statement or with the
        answer, like a new row.

        Returns the row with the changes; its version and times are known once it is sent. The row is not locked until
        then: values computed from it may be outdated unless the operation has locked it.
        """
        self._writes()
        await self.flush()
        model, id = type(row), row.id  # type: ignore[attr-defined]
        guarded = self._takes_version(model, id)
        edited: M = object.__new__(model)
        edited.__dict__.update(row.__dict__ | changes)
        valued = [name for name, kind in kinds_of(changes) if kind is None]
        self.changed(model, id, valued, row.__dict__, changes)
        parameters = bound(changes) | {"id_": id} | ({"if_version": self.if_version} if guarded else {})
        missing = f"{model.__name__} not found"
        self.touched.append(Touched.of(edited))
        self.held = Edit(edited, kinds_of(changes), conflict, missing, parameters, guarded, self._limits(model))
        self._version_taken(guarded)
        return edited

    async def refuse_unwritten(self, held: Waiting) -> NoReturn:
        """There was no row to change: why."""
        if isinstance(held, Edit):
            await self._explain(type(held.row), held.row.id, held.missing, held.guarded)
        elif held.change is not None and held.change.needs is not None:
            await self.get(held.change.model, held.change.values["id_"])
            raise Refusal(Code.BAD_REQUEST, held.change.needs.refusal)
        raise Refusal(Code.NOT_FOUND, held.missing or "")

    async def move(
        self, machine: Machine[M, S], row: M | str, to: S, /, *, refused: Code = Code.CONFLICT, **changes: Any
    ) -> M:
        """One transition. A transition that the machine does not have is `refused`.

        A row that was read before moves from the state it had then, and is a CONFLICT if it has moved since; by its id
        it moves from any state that leads there.
        """
        model, column, id = machine.model, machine.column, row if isinstance(row, str) else row.id  # type: ignore[attr-defined]
        seen = None if isinstance(row, str) else getattr(row, column)
        before = machine.before(to)
        if seen is not None and seen not in before:
            raise no_way(machine, refused, seen, to)
        changes |= dict.fromkeys(machine.stamped(to), NOW) | {column: to}
        try:
            return await self._update(model, id, TAKEN, None, changes, column, before if seen is None else [seen])
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise
            state = getattr(await self.get(model, id), column)
            if seen is not None or state in before:
                raise meanwhile(machine, state) from None
            raise no_way(machine, refused, state, to) from None

    async def move_all(self, machine: Machine[M, S], to: S, /, *conditions: Any, **changes: Any) -> list[str]:
        """The transition of every row of the workspace that matches and can make it; returns their ids."""
        changes |= dict.fromkeys(machine.stamped(to), NOW) | {machine.column: to}
        state = table_of(machine.model).c[machine.column]
        return await self.update_where(machine.model, *conditions, state.in_(machine.before(to)), **changes)

    async def _update(
        self,
        model: type[M],
        id: str,
        conflict: Conflict,
        missing: str | None,
        changes: dict[str, Any],
        column: str | None = None,
        states: Any = None,
    ) -> M:
        self._writes()
        only_sealed(model, changes)
        guarded = self._takes_version(model, id)
        statement = statements.updating(model, kinds_of(changes), guarded, column, self._limits(model))
        values = bound(changes) | self._known | {"id_": id, "if_version": self.if_version, "states_": states}
        row = await self._one(statement.sql, statement.values(values), conflict)
        if row is None:
            await self._explain(model, id, missing, guarded)
        self._version_taken(guarded)
        before, after = statements.old_and_new(row)
        return self.altered(statements.load(model, after), before)

    async def unchanged(self, model: type[M], id: str, *, missing: str | None = None) -> M:
        """The row as it is: the outcome of an update that names nothing. An expected version
        is compared all the same.
        """
        row: Any = await self.get(model, id, missing=missing)
        guarded = self._takes_version(model, id)
        if guarded and row.version != self.if_version:
            raise outdated(model)
        self._version_taken(guarded)
        return row  # type: ignore[no-any-return]

    async def delete(self, model: type[M], id: str, *, missing: str | None = None) -> M:
        """Removes or soft-deletes the live row of this workspace, and returns it."""
        self._writes()
        guarded = self._takes_version(model, id)
        statement = statements.deleting(model, guarded, self._limits(model))
        row = await self._one(statement.sql, statement.values({"id_": id, "if_version": self.if_version} | self._known))
        if row is None:
            await self._explain(model, id, missing, guarded)
        self._version_taken(guarded)
        return self.removed(statements.load(model, row))

    async def update_where(
        self,
        model: type[SQLModel],
        /,
        *conditions: Any,
        including_deleted: bool = False,
        including_hidden: bool = False,
        **changes: Any,
    ) -> list[Any]:
        """Changes all rows of this workspace that match, of those that `select` gives, as `update` does; returns their
        ids.
        """
        self._writes()
        only_sealed(model, changes)
        table = table_of(model)
        door = self._door(model, including_deleted, including_hidden)
        changed = update(table).where(*door, *[clause(c) for c in conditions])
        changed = changed.values(statements.edited(model, statements.valued(changes)))
        return self.ids_of(model, await self._many(changed.returning(table.c.id if "id" in table.c else ONE)))

    async def update_each(self, model: type[SQLModel], changes: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """Changes rows as `update_where` does, each by its id and to values of its own, in one statement."""
        self._writes()
        made = statements.updating_each(model, changes, self._door(model)) if changes else None
        return [] if made is None else self.ids_of(model, await self._many(made))

    async def delete_where(self, model: type[SQLModel], *conditions: Any, including_hidden: bool = False) -> int:
        """Removes for good all rows of this workspace that match, soft-deleted ones too; returns how many."""
        self._writes()
        table = table_of(model)
        removed = (
            delete(table)
            .where(*self._door(model, True, including_hidden), *[clause(c) for c in conditions])
            .returning(table.c.id if "id" in table.c else ONE)
        )
        return len(self.ids_of(model, await self._many(removed)))

    # ---- beside the rows -----------------------------------------------------------------------------------------

    @property
    def scope(self) -> str:
        """The scope of row-level security: the workspace; outside any, the caller's memberships; otherwise nothing."""
        return (None if self.operation.personal else self.workspace_id) or (f"@{self.user_id}" if self.user_id else "")

    async def now(self) -> datetime:
        """PostgreSQL's time, for computed times that are stored or compared with stored ones. To store the current
        time, use NOW.
        """
        found: datetime = (await self._one("SELECT now()", [], begins=False))[0]
        return found

    async def own_roles(self) -> list[Role]:
        """The caller's role in each live workspace the caller belongs to: for operations outside any."""
        return [Role(row[0]) for row in await self._send(places.OWN_ROLES, [self.user_id], many=True, begins=False)]

    async def place_of(self, entity: Entity, id: str) -> str:
        """The workspace of a row, among those that the caller belongs to, or NOT_FOUND: for operations outside any."""
        asked = replace(self.request, raw={entity.field: id})
        row = await self.operation.ask_gate(self.conn, self.caller, asked, entity)
        if database.row_security and self.conn is not None:
            self.conn.sees(self.scope)
        return row[WORKSPACE_ID]  # type: ignore[no-any-return]

    async def place_by_secret(self, column: Any, secret: str) -> str | None:
        """The workspace of the row with this secret, for callers who know it, members or not."""
        await self.flush()
        async with contextlib.nullcontext(self.conn) if self.conn is not None else database.lease() as conn:
            return await places.place_by_secret(conn, column, secret, self.scope)

    def may(self, action: Action) -> bool:
        return self.role in GATES[action]

    def has(self, capability: Capability) -> bool:
        """Returns true if the caller has the capability; a machine acts by its role alone."""
        return self.role is not None and capability in effective(self.role, self.capabilities)

    async def enter(self, workspace_id: str) -> None:
        """The workspace this call has just founded becomes the one it works in."""
        self.workspace_id, self.role = workspace_id, Role.OWNER
        await self.flush()
        if database.row_security and self.conn is not None:
            self.conn.sees(workspace_id)

    async def begin(self) -> None:
        """Opens the transaction of a command declared `late`: the gate is passed again inside it."""
        self.lease = database.lease()
        self.conn = await self.lease.__aenter__()
        self.in_transaction = True
        await self.operation.admit(self)

    async def commit(self) -> None:
        """If only the tail was sent, that statement was a transaction of its own, and is committed."""
        if self.begun:
            await self.conn.execute("COMMIT")
            self.begun = False

    async def roll_back(self) -> None:
        if self.begun:
            await self.conn.execute("ROLLBACK")
            self.begun = False

    async def abandon(self) -> None:
        """Ends the transaction of a command declared `late` without a trace: it may go outside again, and begin() once
        more.
        """
        await self.roll_back()
        lease, self.lease, self.conn, self.in_transaction = self.lease, None, None, False
        self.held = None
        self.forget()
        if lease is not None:
            await lease.__aexit__(None, None, None)

    @property
    def outside(self) -> Instance:
        """Access beyond the database (hashing, ports): refused inside a transaction, which would wait for it."""
        if self.in_transaction:
            raise RuntimeError(
                f"{self.operation.name}: nothing slow inside a transaction; declare the command `late` and go outside"
                " before begin()"
            )
        return instance

    async def lock(self, name: str, *, shared: bool = False) -> None:
        """Waits until no other transaction holds this name; held until the end of this one. `shared`: others may hold
        it so, too.
        """
        await self._one(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(hashtextextended($1, 0))", [name])

    # ---- statements ----------------------------------------------------------------------------------------------

    async def _one(self, sql: str, values: Sequence[Any], conflict: Conflict = TAKEN, *, begins: bool = True) -> Any:
        await self.flush()
        return await self._send(sql, values, conflict, begins=begins)

    async def _many(self, statement: Any, *, begins: bool = True) -> list[Any]:
        await self.flush()
        sql, values = statements.generic(statement)
        rows: list[Any] = await self._send(sql, values, many=True, begins=begins)
        return rows

    async def flush(self) -> None:
        """Sends the last insert, which otherwise is sent with the answer: afterwards its drawn values are known."""
        if self.held is not None:
            held, self.held = self.held, None
            statement = statements.writing(held)
            row = await self._send(statement.sql, statement.values(held.values(self._known)), held.conflict)
            if held.missing is not None:
                if row is None:
                    await self.refuse_unwritten(held)
                self._settle(held, row)

    def _settle(self, held: Waiting, row: Any) -> None:
        """Replaces drawn values by the database's, also in rows that were returned before."""
        if isinstance(held, Edit):
            held.row.__dict__.update(statements.load(type(held.row), row).__dict__)
            return
        values = {taken.name: row[taken.name] for taken in held.drawn}
        held.row.__dict__.update(values)
        self.settle(values)

    async def _send(
        self, sql: str, values: Sequence[Any], conflict: Conflict = TAKEN, *, many: bool = False, begins: bool = True
    ) -> Any:
        """`begins`: the statement writes or locks. A statement that only reads sees committed rows, in a transaction or
        not.
        """
        if self.conn is None:
            async with database.lease() as conn:
                if database.row_security:
                    conn.sees(self.scope)
                return await run(conn, sql, values, conflict, many)
        begins = begins and self.in_transaction and not self.begun
        self.begun = self.begun or begins
        return await run(self.conn, sql, values, conflict, many, begins)

    async def _explain(self, model: type[SQLModel], id: str, missing: str | None, guarded: bool) -> None:
        if guarded:
            await self.get(model, id, missing=missing)
            raise outdated(model)
        raise Refusal(Code.NOT_FOUND, missing or f"{model.__name__} not found")

    def _takes_version(self, model: type[SQLModel], id: str) -> bool:
        """The row that the route names, if it is of the model: of others that change with it, none has this version."""
        named = not isinstance(self.subject, model) or getattr(self.subject, "id", None) == id
        return named and self.if_version is not None and model is self.operation.versioned

    def _version_taken(self, guarded: bool) -> None:
        self.compared = self.compared or guarded

    @property
    def if_version(self) -> int | None:
        """The version that a row has to have, until one was compared."""
        return None if self.compared else self.request.if_version
