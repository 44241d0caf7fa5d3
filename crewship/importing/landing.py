"""The rows of one workspace arrive in one transaction: all of them, or none."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, insert, select, update

from crewship.importing.envelopes import Envelopes, Sealed
from crewship.importing.fitting import Fitting, Unfit
from crewship.importing.report import Report, TableReport
from crewship.importing.source import Row, Source, portions
from crewship.importing.tables import Take
from models.base import place_in, secrets_of, table_of
from models.kernel import DataKey as DataKeyRow
from models.personal_data import AUTHOR, BY, PEOPLE, WHOSE, of_column
from resolvers.instance.data_keys import DataKey
from resolvers.instance.vault import Vault
from resolvers.kernel.store.copying import Landing
from resolvers.oversight.backups.tables import ENDED, carried, columns_of

SKILLS: Final = "skills"
WORKSPACES: Final = "workspaces"
MEMBERS: Final = "memberships"
DELETED: Final = "deleted there"
GONE: Final = "names a row that is not imported"
Value = Callable[[Row, Callable[[str], None]], str | None]


@dataclass(slots=True)
class Arrival:
    """One workspace on its way. `people` and `skills`: ids there, and ids here. `members`: the people here who are
    members. `known`: the ids that rows may name."""

    source: Source
    report: Report
    rows: Landing
    vault: Vault
    envelopes: Envelopes
    workspace: str
    dry_run: bool
    key: DataKey | None = None
    people: dict[str, str] = field(default_factory=dict)
    skills: dict[str, str] = field(default_factory=dict)
    members: frozenset[str] = frozenset()
    known: dict[str, set[str]] = field(default_factory=dict)

    async def bring_key(self) -> None:
        """The data key of the workspace; a new one is stored together with it."""
        table = table_of(DataKeyRow)
        current = (table.c.workspace_id == self.workspace, table.c.retired_at.is_(None))
        if found := await self.rows.report(select(table.c.id).where(*current)):
            self.key = await self.vault.data_keys.get(found[0][0])
            return
        self.key, made = await self.vault.data_keys.made_for(self.workspace)
        wrapped = {"wrapped_by": made.wrapped.by, "wrapped": made.wrapped.key}
        row = {"id": made.id, "workspace_id": self.workspace} | wrapped
        await self.rows.report(insert(table).values(**row).returning(table.c.id))


class Filling:
    """One table of the workspace."""

    def __init__(self, arrival: Arrival, take: Take, columns: Sequence[str]) -> None:
        self._arrival, self._take = arrival, take
        self.table = table_of(take.model)
        self.name = str(self.table.name)
        self.told: TableReport = arrival.report.of(self.name)
        self._there = set(columns) | set(take.beside)
        self._place = place_in(self.table)
        self._values: list[tuple[str, Value]] = []
        for name in columns_of(take.model) if self.name != PEOPLE else [str(c.name) for c in self.table.c]:
            if (value := self._value(self.table.c[name])) is not None:
                self._values.append((name, value))
        self.columns = [name for name, _ in self._values]
        self._refused = set[str]()

    # ---- one column ----------------------------------------------------------------------------------------------

    def _value(self, column: Column[Any]) -> Value | None:
        """The function that finds the value of a column; None for a column that PostgreSQL fills."""
        name, take = str(column.name), self._take
        if name == self._place:
            return lambda _, __: self._arrival.workspace
        if name in secrets_of(take.model):
            return self._secret(name) if name in take.secrets else None
        fitting = Fitting(take.model, column)
        if name in take.made:
            of = take.made[name]
        elif (there := take.named.get(name, name)) in self._there:
            of = _column(there)
        elif fitting.required:
            raise Unfit(f"{self._take.table} lacks the column {there}")
        else:
            return None if fitting.given or fitting.nullable else lambda _, __: fitting.instead()
        return self._checked(column, fitting, of)

    def _checked(self, column: Column[Any], fitting: Fitting, of: Callable[[Row], Any]) -> Value:
        names = {str(key.column.table.name) for key in column.foreign_keys}
        referred = MEMBERS if MEMBERS in names else min(names, default=None)
        ended = ENDED.get(self.name, {}).get(fitting.name, {})
        person = of_column(column) in (WHOSE, BY, AUTHOR)

        def value(row: Row, change: Callable[[str], None]) -> str | None:
            found = fitting.of(of(row), change)
            if found is None:
                return None
            if referred is not None and fitting.name != "workspace_id":
                return self._reference(referred, fitting, found, change)
            if person:
                return self._arrival.people.get(found, found)
            return ended.get(found, found) if ended else found

        return value

    def _reference(self, referred: str, fitting: Fitting, found: str, change: Callable[[str], None]) -> str | None:
        arrival = self._arrival
        if referred in (PEOPLE, SKILLS):
            known = (arrival.people if referred == PEOPLE else arrival.skills).get(found)
        elif referred == MEMBERS:  # by the person
            known = arrival.people.get(found)
            known = known if known in arrival.members else None
        elif referred == WORKSPACES:
            known = arrival.workspace if found == arrival.workspace else None
        else:
            known = found if found in arrival.known.get(referred, ()) else None
        if known is None:
            if not fitting.nullable:
                raise Unfit(f"{fitting.name} {GONE}")
            if found:
                change(f"{fitting.name} {GONE}")
        return known

    def _secret(self, name: str) -> Value:
        columns, arrival, model = self._take.secrets[name], self._arrival, self._take.model

        def value(row: Row, change: Callable[[str], None]) -> str | None:
            stored = next((str(row[column]) for column in columns if row.get(column)), None)
            if stored is None or row.get("deleted_at"):
                return None
            try:
                # webhook secrets were kept in clear where the old server had no key
                clear = name == "webhook_secret" and not arrival.envelopes.is_envelope(stored)
                text = stored if clear else arrival.envelopes.open(stored)
            except Sealed:
                change(f"{name} cannot be opened with the keys that were given")
                return None
            assert arrival.key is not None
            sealed = arrival.vault.sealed_with(
                arrival.key, text.encode("utf-8", "replace"), table=model, column=name, row_id=str(row["id"])
            )
            return f"\\x{sealed.hex()}"

        return value

    def silence(self) -> None:
        """The rows are reported elsewhere."""
        self.told = TableReport()

    # ---- all rows ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        own = {name for column in self.table.c if (name := _composed(column)) == self.name}
        named = self.name in _named()  # of the others, which may be millions, no id is kept
        known = self._arrival.known.setdefault(self.name, set()) if named else set[str]()
        if own:
            known |= self._arrival.source.ids(self._take.table, self._arrival.workspace)
        await self._arrival.rows.defer()
        for portion in portions(self._rows()):
            there = await self.land(portion)
            if named:
                known |= there
        await self._mend()
        await self._arrival.rows.defer(until_now=True)
        self.tell_unplaced()

    @property
    def _given(self) -> tuple[str, ...]:
        return (self._arrival.workspace,)

    def _rows(self) -> Iterator[Row]:
        take, source = self._take, self._arrival.source
        if take.rows is not None:
            yield from source.query(take.rows[1], take.rows[0], self._given)
            return
        lost = "deleted_at" in self._there and "deleted_at" not in self.table.c
        for row in source.rows(take.table, take.where, self._given, take.beside):
            if lost and row["deleted_at"]:
                self.told.read += 1
                self.told.leave_out(DELETED, str(row.get("id")))
                continue
            yield row

    async def land(self, portion: Sequence[Row]) -> set[str]:
        """Inserts a portion, and returns the ids of the rows that are there now."""
        fitted = list[list[str | None]]()
        for row in portion:
            self.told.read += 1
            try:
                fitted.append(self._fit(row))
            except Unfit as error:
                self._leave_out(str(error), str(row.get("id")))
        if not fitted:
            return set()
        refused = dict[int, str]()
        made = await self._arrival.rows.fill(self._take.model, self.columns, fitted, refused.__setitem__)
        self.told.imported += len(made)
        ids = self._ids(fitted)
        for number, rule in refused.items():
            self._leave_out(f"the rule {rule} refuses it", ids[number])
        waiting = [number for number in range(len(fitted)) if number not in made and number not in refused]
        there = await self._found([ids[number] for number in waiting])
        for number in waiting:
            if ids[number] in there:
                self.told.there += 1
            else:
                self._leave_out("another row here has its key", ids[number])
        return {ids[number] for number in made} | there

    def _fit(self, row: Row) -> list[str | None]:
        id = str(row.get("id"))
        return [value(row, lambda reason: self.told.change(reason, id)) for _, value in self._values]

    def _ids(self, fitted: Sequence[Sequence[str | None]]) -> list[str]:
        if "id" not in self.columns:
            return [str(number) for number in range(len(fitted))]
        place = self.columns.index("id")
        return [str(row[place]) for row in fitted]

    async def _found(self, ids: Sequence[str]) -> set[str]:
        """Returns the ids of these rows that are there already. Rows without an id count as there."""
        if not ids or "id" not in self.columns:
            return set(ids)
        conditions: list[Any] = [self.table.c.id.in_(ids)]
        if self._place is not None:
            conditions.append(self.table.c[self._place] == self._arrival.workspace)
        return {row[0] for row in await self._arrival.rows.report(select(self.table.c.id).where(*conditions))}

    def _leave_out(self, reason: str, id: str) -> None:
        self.told.leave_out(reason, id)
        self._refused.add(id)

    async def _mend(self) -> None:
        """Rows that name a row of their own table which was left out name none."""
        for column in self.table.c:
            if self._refused and _composed(column) == self.name and column.nullable:
                named = (column.in_(sorted(self._refused)), self.table.c.workspace_id == self._arrival.workspace)
                change = update(self.table).where(*named).values({column.name: None}).returning(self.table.c.id)
                await self._arrival.rows.report(change)

    def tell_unplaced(self) -> None:
        """The columns with values that fill no column here."""
        take = self._take
        if take.rows is not None or self.told.unplaced:
            return
        used = {take.named.get(name, name) for name in self.columns} | set(take.named.values()) | take.dropped
        used |= {column for columns in take.secrets.values() for column in columns}
        used |= set(take.made) | {"workspace_id", "deleted_at"}
        left = [name for name in self._arrival.source.tables[take.table] if name not in used]
        self.told.unplaced = self._arrival.source.filled(take.table, left)


def _column(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


@cache
def _named() -> frozenset[str]:
    """The tables whose rows other rows name, and whose files arrive."""
    names = {_composed(column) for model in carried() for column in table_of(model).c}
    return frozenset(name for name in names if name is not None)


def _composed(column: Column[Any]) -> str | None:
    """The table that a column refers to together with the workspace."""
    for key in column.table.foreign_key_constraints:
        if column.name != "workspace_id" and column in list(key.columns):
            return str(key.referred_table.name)
    return None
