"""SQL of single-table statements, compiled once a kind: the text and the order of its parameters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    ARRAY,
    String,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.sql.visitors import iterate
from sqlmodel import SQLModel

from models.base import TenantRow, bookkeeping_of, enums_of, only_sealed, secrets_of, table_of, untimed_of
from models.sealed import Sealed
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.changes import NOW, Edit, HeldInsert, Kinds, Now, Waiting, kinds_of, plus
from resolvers.kernel.store.database import DIALECT, database
from resolvers.kernel.store.differences import told_of

M = TypeVar("M", bound=SQLModel)
_KEPT = 2000
OLD = "old of "
ONE: Any = literal_column("1")


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any] | None = None

    def values(self, named: Mapping[str, Any]) -> list[Any]:
        known = named if not self.constants else {**self.constants, **named}
        return [known[name] for name in self.names]


_COMPILED: dict[Any, Statement] = {}


def compiled(key: Any, build: Callable[[], Any]) -> Statement:
    known = _COMPILED.get(key)
    if known is None:
        made = build().compile(dialect=DIALECT)
        if len(_COMPILED) >= _KEPT:
            del _COMPILED[next(iter(_COMPILED))]
        constants = {name: value for name, value in made.params.items() if value is not None}
        known = _COMPILED[key] = Statement(str(made), tuple(made.positiontup or ()), constants)
    return known


def generic(statement: Any) -> tuple[str, list[Any]]:
    """Any Core statement: compiled once for all statements that differ in their values alone."""
    key = statement._generate_cache_key()
    known: Any = _COMPILED.get(key.key)
    if known is None:
        if len(_COMPILED) >= _KEPT:
            del _COMPILED[next(iter(_COMPILED))]
        known = _COMPILED[key.key] = statement.compile(dialect=DIALECT, cache_key=key)
    values = known.construct_params(extracted_parameters=key.bindparams)
    return str(known), [values[name] for name in known.positiontup or ()]


SCOPE = Scope.of(lambda name: bindparam(f"scope_{name}", type_=Text()))


def own(table: Any, model: type[SQLModel], limited: bool) -> list[Any]:
    """The conditions of one live row of the workspace; `limited`: of those that the caller may see."""
    return [table.c.id == bindparam("id_"), *scoped(table, model), *(SCOPE.sees(model, table) if limited else ())]


def scoped(table: Any, model: type[SQLModel], *, including_deleted: bool = False) -> list[Any]:
    conditions = []
    if issubclass(model, TenantRow):
        conditions.append(table.c.workspace_id == bindparam("scope_workspace"))
    if "deleted_at" in table.c and not including_deleted:
        conditions.append(table.c.deleted_at.is_(None))
    return conditions


def getting(model: type[SQLModel], lock: bool, limited: bool) -> Statement:
    def build() -> Any:
        made = select(table_of(model)).where(*own(table_of(model), model, limited))
        return made.with_for_update(key_share=True) if lock else made

    return compiled((model, "get", lock, limited), build)


def insertion(held: HeldInsert) -> Any:
    """The INSERT of a pending row; with a change, from the changed row: nothing if that does not exist."""
    model = type(held.row)
    table = table_of(model)
    values: dict[str, Any] = {name: bindparam(name, type_=table.c[name].type) for name in held.columns}
    values |= {name: func.now() for name in held.timed}
    if held.change is None:
        return insert(table).values(values)
    other = table_of(held.change.model)
    drawn = {taken.name: taken.expression for taken in held.drawn}
    used = {part for value in drawn.values() for part in iterate(value)}
    changed = _update(held.change.model, held.change.kinds, held.limited)
    if held.change.needs is not None:
        changed = changed.where(clause(held.change.needs.condition))
    changed = changed.returning(*[c for c in other.c if c in used] or [ONE]).cte("changed")
    adapt = ClauseAdapter(changed).traverse
    values |= {name: adapt(value) for name, value in drawn.items()}
    return insert(table).from_select(
        list(values), select(*values.values()).select_from(changed), include_defaults=False
    )


def written(held: Waiting) -> Any:
    """The statement of a command's last write."""
    if isinstance(held, HeldInsert):
        return insertion(held)
    made = _update(type(held.row), held.kinds, held.limited)
    return made.where(table_of(type(held.row)).c.version == bindparam("if_version")) if held.guarded else made


def writing(held: Waiting) -> Statement:
    def build() -> Any:
        table, made = table_of(type(held.row)), written(held)
        if isinstance(held, Edit):
            return made.returning(*table.c)
        return (
            made.returning(*[table.c[taken.name] for taken in held.drawn] or [ONE]) if held.change is not None else made
        )

    return compiled((*held.kind, "insert"), build)


def adding(model: type[SQLModel], columns: tuple[str, ...], parameter: Callable[[int, str], str] | None = None) -> str:
    """INSERT of any number of rows: one array a column. `parameter`: the text of each, by its number and type."""
    table, text = table_of(model), parameter or (lambda n, kind: f"${n}::{kind}")
    kinds = [table.c[name].type.compile(dialect=DIALECT) for name in columns]
    arrays = ",".join([text(n, _array(kind.split("(")[0])) for n, kind in enumerate(kinds, 1)])
    return f"INSERT INTO {table.name} ({','.join(columns)}) SELECT * FROM unnest({arrays})"


def _array(kind: str) -> str:
    """JSON goes as text: a list of lists would be an array of two dimensions."""
    return "text[]::jsonb[]" if kind == "JSONB" else f"{kind}[]"


def columns_of(rows: Sequence[SQLModel], names: tuple[str, ...]) -> list[list[Any]]:
    """The values of rows, column by column."""
    values, table = [row.__dict__ for row in rows], table_of(type(rows[0]))
    return [
        [_as_json(row[name]) if isinstance(table.c[name].type, JSONB) else row[name] for row in values]
        for name in names
    ]


def supplied(model: type[SQLModel], values: Mapping[str, Sequence[Any]]) -> Any:
    """Values of columns of a table that come with a statement, as a FROM entry: one array a column."""
    table = table_of(model)
    arrays, columns = list[Any](), list[Any]()
    for name, listed in values.items():
        kind = table.c[name].type
        if isinstance(kind, JSONB):
            arrays.append(cast(literal([_as_json(each) for each in listed], ARRAY(Text)), ARRAY(JSONB)))
        else:
            # a length would cut what is too long
            kind = Text() if isinstance(kind, String) else kind
            arrays.append(literal(list(listed), ARRAY(kind)))
        columns.append(column(name, kind))
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="supplied")


def updating_each(model: type[SQLModel], changes: Mapping[str, Mapping[str, Any]], door: Sequence[Any]) -> Any:
    """UPDATE of several rows behind a door, each by its id and to values of its own."""
    table, kinds = table_of(model), kinds_of(next(iter(changes.values())))
    alike = dict(kinds)
    for row in changes.values():
        only_sealed(model, row)
    if any(dict(kinds_of(row)) != alike for row in changes.values()):
        raise TypeError(f"{model.__name__}: rows that are updated together change the same columns in the same way")
    lists = {n: [row[n].amount if kind is plus else row[n] for row in changes.values()] for n, kind in kinds}
    timed = [name for name, kind in kinds if kind is Now]
    each = supplied(model, {"id": list(changes)} | {name: lists[name] for name in lists if name not in timed})
    sets: dict[str, Any] = dict.fromkeys(timed, func.now())
    sets |= {n: table.c[n] + each.c[n] if kind is plus else each.c[n] for n, kind in kinds if kind is not Now}
    return update(table).where(*door, table.c.id == each.c.id).values(edited(model, sets)).returning(table.c.id)


def removing(model: type[SQLModel], found: str) -> str:
    """DELETE of the rows whose `ctid` a statement selects; how many they are."""
    sql = f"DELETE FROM {table_of(model).name} WHERE ctid = ANY (ARRAY({found})) RETURNING 1"
    return f"WITH gone AS ({sql}) SELECT count(*) FROM gone"


def _as_json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def upserting(model: type[SQLModel], columns: tuple[str, ...], keys: tuple[str, ...], limited: bool) -> Statement:
    """Insert, or replace other columns of the row with the same `keys`; nothing, where the caller may not see it."""

    def build() -> Any:
        table = table_of(model)
        made = pg_insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
        kept = {*keys, "id", "created_at"}
        sets: dict[str, Any] = {n: made.excluded[n] for n in columns if n not in kept}
        timed = [column.name for column in table.c if column.server_default is not None and column.computed is None]
        sets |= {name: func.now() for name in timed if name not in kept | sets.keys()}
        if "version" in table.c:
            sets["version"] = table.c.version + ONE
        seen = SCOPE.sees(model, table) if limited else []
        same = [table.c[key] == bindparam(key, type_=table.c[key].type) for key in keys]
        was = _before(model, sets, [*same, *seen])
        if was is None:
            made = made.on_conflict_do_update(index_elements=keys, set_=sets, where=and_(*seen) if seen else None)
            return made.returning(*table.c, *_old(model, sets))
        # A row that came at the same time is not in `was`: nothing is written, and the next look finds it.
        made = made.on_conflict_do_update(index_elements=keys, set_=sets, where=and_(*seen, _there(was)))
        return _with_old(made, table, was)

    return compiled((model, "upsert", columns, keys, limited, database.returns_old), build)


def valued(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values, expressions and times that a statement of its own sets."""
    return {
        name: func.now() if value is NOW else clause(value) if hasattr(value, "__clause_element__") else value
        for name, value in changes.items()
    }


def edited(model: type[SQLModel], sets: dict[str, Any]) -> dict[str, Any]:
    """The values that an update sets, with the version and time of an edit unless only bookkeeping columns change."""
    table = table_of(model)
    others = sets.keys() - bookkeeping_of(model)
    if sets and not others:
        return sets
    timed = "updated_at" in table.c and not (others and others <= untimed_of(model))
    stamps = ({"version": table.c.version + ONE} if "version" in table.c else {}) | (
        {"updated_at": func.now()} if timed else {}
    )
    return stamps | sets


def _update(model: type[SQLModel], kinds: Kinds, limited: bool) -> Any:
    """UPDATE of one live row of the workspace; with an edit its version rises."""
    table = table_of(model)
    sets: dict[str, Any] = {}
    for name, kind in kinds:
        value = func.now() if kind is Now else bindparam(f"{name}_", type_=table.c[name].type)
        sets[name] = table.c[name] + value if kind is plus else value
    return update(table).where(*own(table, model, limited)).values(edited(model, sets))


def _old(model: type[SQLModel], names: Iterable[str]) -> list[Any]:
    """The values before the statement of the columns whose changes are recorded."""
    return [literal_column(f"old.{name}").label(OLD + name) for name in names if name in told_of(model)]


def _before(model: type[SQLModel], names: Iterable[str], conditions: list[Any]) -> Any:
    """The values from the row itself, which is locked before it changes: for versions of PostgreSQL that do not return
    them.

    None for other versions, because the second read costs an eighth of an update; and if no values are recorded.
    """
    told = [name for name in names if name in told_of(model)]
    if database.returns_old or not told:
        return None
    table = table_of(model)
    columns = [table.c[name].label(OLD + name) for name in told]
    return select(*columns).where(*conditions).with_for_update(key_share=True).cte("was")


def _with_old(made: Any, table: Any, was: Any) -> Any:
    """The rows that the statement returns, with the values of the row that `was` has locked."""
    return made.returning(*table.c, *[select(old).scalar_subquery().label(old.name) for old in was.c])


def _there(was: Any) -> Any:
    """Part of what has to hold, so that the row is looked at before it changes and not after it."""
    return select(ONE).select_from(was).exists()


def updating(model: type[SQLModel], kinds: Kinds, versioned: bool, state: str | None, limited: bool) -> Statement:
    """`state`: a column that has to have one of the values in `states_`."""

    def build() -> Any:
        table, made = table_of(model), _update(model, kinds, limited)
        if versioned:
            made = made.where(table.c.version == bindparam("if_version"))
        if state is not None:
            made = made.where(table.c[state].in_(bindparam("states_", expanding=True)))
        names = [name for name, _ in kinds]
        was = _before(model, names, own(table, model, limited))
        if was is None:
            return made.returning(*table.c, *_old(model, names))
        return _with_old(made.where(_there(was)), table, was)

    return compiled((model, "update", kinds, versioned, state, limited, database.returns_old), build)


def deleting(model: type[SQLModel], versioned: bool, limited: bool) -> Statement:
    """Removes the row; a soft-deleted one is marked (contract: formats.soft_delete)."""

    def build() -> Any:
        table = table_of(model)
        where = own(table, model, limited)
        if versioned:
            where.append(table.c.version == bindparam("if_version"))
        if "deleted_at" not in table.c:
            return delete(table).where(*where).returning(*table.c)
        sets: dict[str, Any] = {"deleted_at": func.now(), "updated_at": func.now()}
        if "version" in table.c:
            sets["version"] = table.c.version + ONE
        return update(table).where(*where).values(sets).returning(*table.c)

    return compiled((model, "delete", versioned, limited), build)


def old_and_new(row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits the result of an update: the earlier values of the recorded columns, and the row after it."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for name, value in row.items():
        if name.startswith(OLD):
            old[name.removeprefix(OLD)] = value
        else:
            new[name] = value
    return old, new


def load(model: type[M], row: Any) -> M:
    """A table object from a record, past SQLAlchemy's instrumentation: no state is tracked. Closed sets are their
    members, secrets stay sealed.
    """
    made: M = object.__new__(model)
    values = made.__dict__
    values.update(row)
    for name, members in enums_of(model):
        values[name] = members[values[name]]
    for name in secrets_of(model):
        if values[name] is not None:
            values[name] = Sealed(values[name])
    return made
