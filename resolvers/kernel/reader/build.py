"""Rows x shape -> one SQLAlchemy select whose columns are `payload` (JSON) and `version`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Text, and_, case, cast, false, func, literal_column, null, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import desc_op
from sqlalchemy.sql.util import ClauseAdapter
from sqlmodel import SQLModel

from models.base import TenantRow, table_of
from resolvers.kernel.errors import Code, Refusal
from resolvers.kernel.inputs import Input, Paging
from resolvers.kernel.reader.graph import GRAPHS, Derived, Edge
from resolvers.kernel.reader.rows import Read, Rows, View, clause
from resolvers.kernel.reader.shape import ALIAS_BYTES, Column, Constant, Item, Nested, Shape
from resolvers.kernel.trace import Trace

ISO: Any = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS"Z"'""")
UTC: Any = literal_column("'UTC'")
EMPTY_LIST: Any = literal_column("'[]'::json")
EMPTY_OBJECT: Any = literal_column("'{}'::json")
ONE: Any = literal_column("1")
VERSION, ABSENT = "#version", "#absent"  # columns beside the asked ones, by names that no key can have
LIST_LIMIT = 1000  # rows of an edge read as a plain list


def quoted(text: str) -> Any:
    """A string literal. Only names of fields, types and aliases come here; the check stands where the text is made."""
    if len(text.encode()) > ALIAS_BYTES or "'" in text or "\\" in text:
        raise Refusal(Code.BAD_REQUEST, f"The name '{text[:80]}' is too long, or holds a quote")
    return literal_column(f"'{text}'")


def in_utc(column: Any) -> Any:
    """RFC 3339 in UTC to the second (contract: formats.time)."""
    return func.to_char(func.timezone(UTC, column), ISO)


def is_text(expression: Any) -> bool:
    return isinstance(expression.type, Text)


@dataclass
class Source:
    """One FROM entry being read: the model, its alias, its conditions and order, already moved onto the alias."""

    model: type[SQLModel]
    alias: Any
    where: list[Any]
    order: list[Any]


class Builder:
    """Builds one statement. `scope` is what derived values may use of the caller."""

    def __init__(self, trace: Trace, scope: Any, slots: tuple[Input, ...] = ()) -> None:
        self.trace, self.scope, self.slots = trace, scope, slots

    def answer(self, read: Read[Any], shape: Shape, outer: Sequence[Any], allowed: Any = None, source: Any = None) -> Any:
        """The select of the whole answer. `source`: read from this (a row being inserted) instead of from the table."""
        if shape.form == "object" and not read.many:
            entry = self._source(read, source)
            versioned = not issubclass(read.model, View) and "version" in table_of(read.model).c
            hidden = {VERSION: entry.alias.c.version} if versioned else {}
            guard = [] if allowed is None else [allowed]
            rows, record = self._rows(entry, shape, outer, hidden, read.window, guard)
            version = rows[0].c[VERSION] if versioned else null()
            return _from(select(_bytes(record).label("payload"), version.label("version")), rows).correlate(*outer)
        payload = _bytes(self._read(read, shape, outer, source=source, top=True))
        if read.parent is not None:
            parent = self._source(read.parent)
            stands = select(literal_column("1")).select_from(parent.alias).where(*parent.where).correlate(*outer).exists()
            allowed = stands if allowed is None else and_(allowed, stands)
        made = select((payload if allowed is None else case((allowed, payload))).label("payload"), null().label("version"))
        return made.correlate(*outer)

    # ---- one source ----------------------------------------------------------------------------------------------

    def _source(self, read: Read[Any], source: Any = None) -> Source:
        given = read.source if source is None else source
        table = table_of(read.model) if given is None else given
        alias = table.alias(self.trace.name("t"))
        if issubclass(read.model, View):
            return Source(read.model, alias, [], [_of_view(k, alias) for k in read.order])
        adapt = ClauseAdapter(alias).traverse
        where = [adapt(clause(c)) for c in read.conditions]
        if "deleted_at" in table.c:
            where.append(alias.c.deleted_at.is_(None))
        order = [adapt(clause(k)) for k in read.order]
        keys = [_key_of(k) for k in order]
        for column in table_of(read.model).primary_key:
            own = alias.c[column.name]
            if order and not any(k is own for k in keys):  # a page needs an order without ties
                order.append(own.desc() if _descends(order[-1]) else own)
        return Source(read.model, alias, where, order)

    def _rows(self, entry: Source, shape: Shape, outer: Sequence[Any], hidden: dict[str, Any], window: Any, guard: Sequence[Any] = ()) -> tuple[list[Any], Any]:
        """FROM entries of the rows of a source, and the JSON record of one of them."""
        inside = [*outer, entry.alias]
        shown: list[tuple[str, Any]] = []
        absent: list[tuple[str, Any]] = []
        for item in shape.fields:
            value = self._field(entry, item, inside)
            if getattr(item, "zero", False):
                value = func.nullif(value, literal_column("0"))
            (absent if getattr(item, "absent", False) else shown).append((item.key, value))
        cells = [value.label(key) for key, value in shown]
        if absent:
            hidden = hidden | {ABSENT: _absent(absent)}
        extra = [value.label(name) for name, value in hidden.items()]
        limit, offset, after = window
        where = [*entry.where, *guard]
        if after is not None:
            where.append(self._keyset(entry.order, after))
        inner = select(*cells, *extra or ([] if cells else [ONE.label("one")]))
        inner = inner.select_from(entry.alias).where(*where).order_by(*entry.order)
        inner = inner if limit is None else inner.limit(clause(limit))
        inner = inner if offset is None else inner.offset(clause(offset))
        rows = inner.correlate(*outer).subquery(self.trace.name("q"))
        if not cells:
            return [rows], EMPTY_OBJECT
        if not hidden:
            return [rows], func.row_to_json(_whole(rows), type_=JSON())
        part = select(*[rows.c[key] for key, _ in shown]).correlate(*outer, rows).lateral(self.trace.name("r"))
        record: Any = func.row_to_json(_whole(part), type_=JSON())
        if absent:
            head = func.left(cast(record, Text), literal_column("-1"), type_=Text())
            record = head.concat(rows.c[ABSENT]).concat(literal_column("'}'"))
        return [rows, part], record

    def _read(self, read: Read[Any], shape: Shape, outer: Sequence[Any], link: Any = None, source: Any = None, top: bool = False) -> Any:
        """A scalar expression: the rows of `read` in `shape`. `link(alias)` gives the conditions of an edge."""
        entry = self._source(read, source)
        if link is not None:
            entry.where += link(entry.alias)
        if shape.form == "connection":
            return self._connection(read, entry, shape, outer)
        if shape.form == "count":
            return select(func.count()).select_from(entry.alias).where(*entry.where).correlate(*outer).scalar_subquery()
        rows, record = self._rows(entry, shape, outer, {}, read.window)
        if shape.form == "list":
            record = _list(record)
        return _from(select(record if top else _json(record)), rows).correlate(*outer).scalar_subquery()

    # ---- one field -----------------------------------------------------------------------------------------------

    def _field(self, entry: Source, item: Item, outer: Sequence[Any]) -> Any:
        if len(item.key.encode()) > ALIAS_BYTES:
            quoted(item.key)
        if isinstance(item, Constant):
            return null() if item.value is None else cast(quoted(item.value), Text)
        known = GRAPHS.get(entry.model, {})
        if isinstance(item, Column):
            made = known.get(item.name)
            column = clause(made.expression(entry.alias.c, self.scope.within(outer))) if isinstance(made, Derived) else entry.alias.c[item.name]
            return in_utc(column) if isinstance(column.type, DateTime) else column
        if item.name is None:
            return self._object(entry, item.shape.fields, outer)
        edge = known[item.name]
        if isinstance(edge, Derived):
            raise TypeError(f"{entry.model.__name__}.{item.name} is a value, not an edge")
        return self._edge(entry, edge, item, outer)

    def _edge(self, entry: Source, edge: Edge, item: Nested, outer: Sequence[Any]) -> Any:
        rows: Any = Rows(edge.target, where=edge.where, order=edge.order_by)
        if item.slot is not None:
            values = self.slots[item.slot]
            data = self.trace.symbolic(type(values), values, item.slot)
            rows = edge.narrow(rows, data) if edge.narrow is not None else rows
            rows = rows.page(data) if isinstance(data, Paging) else rows
        elif edge.kind == "many" and item.shape.form == "list":
            rows = rows._as(type(rows), window=(literal_column(str(LIST_LIMIT)), None, None))

        def link(target: Any) -> list[Any]:
            conditions = [edge.on(entry.alias.c, target.c)]
            if issubclass(edge.target, TenantRow) and "workspace_id" in entry.alias.c:
                conditions.append(target.c.workspace_id == entry.alias.c.workspace_id)
            return conditions

        return self._read(rows, item.shape, outer, link)

    def _object(self, entry: Source, fields: Sequence[Item], outer: Sequence[Any]) -> Any:
        """An object made of the current row."""
        if not fields:  # everything was skipped
            return EMPTY_OBJECT
        cells = [self._field(entry, item, outer).label(item.key) for item in fields]
        return self._record(cells, outer)

    def _record(self, cells: list[Any], outer: Sequence[Any]) -> Any:
        if not cells:
            return EMPTY_OBJECT
        made = select(*cells).correlate(*outer).subquery(self.trace.name("o"))
        return select(func.row_to_json(_whole(made), type_=JSON())).select_from(made).correlate(*outer).scalar_subquery()

    # ---- connections ---------------------------------------------------------------------------------------------

    def _connection(self, read: Read[Any], entry: Source, shape: Shape, outer: Sequence[Any]) -> Any:
        """nodes, edges, pageInfo and totalCount of a window: the window is read once, with one row to spare."""
        if not shape.fields:
            return EMPTY_OBJECT
        limit, offset, after = read.window
        limit = literal_column("100") if limit is None else clause(limit)
        if [item.shape.form for item in shape.fields if isinstance(item, Nested)] == ["list"]:
            return self._only_nodes(entry, shape, outer, (limit, offset, after))
        inside = [*outer, entry.alias]
        cells: list[Any] = [ONE.label("one")]
        parts: list[Any] = []  # label, and what makes it of the window's rows
        for number, item in enumerate(shape.fields):
            name = f"n{number}"
            if isinstance(item, Constant):
                parts.append((item.key, lambda _, value=quoted(item.value or ""): cast(value, Text)))
            elif isinstance(item, Column):
                parts.append((item.key, lambda _, total=self._total(entry, outer): total))
            elif item.shape.form == "page_info":
                cells.append(_cursor(entry.order).label(name))
                parts.append((item.key, lambda rows, item=item, name=name: self._page_info(item, rows.c[name], limit, offset, after)))
            else:
                cell = self._edges(entry, item.shape, inside) if item.shape.form == "edges" else self._object(entry, item.shape.fields, inside)
                cells.append(cell.label(name))
                parts.append((item.key, lambda rows, name=name: func.coalesce(func.to_json(_first(rows.c[name], limit, JSON()), type_=JSON()), EMPTY_LIST)))
        if len(cells) == 1:
            return self._record([make(None).label(key) for key, make in parts], outer)
        where = [*entry.where, self._keyset(entry.order, after)] if after is not None else entry.where
        inner = select(*cells).select_from(entry.alias).where(*where).order_by(*entry.order).limit(limit + literal_column("1"))
        inner = inner if offset is None else inner.offset(clause(offset))
        rows = inner.correlate(*outer).subquery(self.trace.name("q"))
        made = select(*[make(rows).label(key) for key, make in parts]).select_from(rows)
        page = made.having(true()).correlate(*outer).subquery(self.trace.name("p"))  # HAVING: one row, also without an aggregate
        return select(func.row_to_json(_whole(page), type_=JSON())).select_from(page).correlate(*outer).scalar_subquery()

    def _only_nodes(self, entry: Source, shape: Shape, outer: Sequence[Any], window: Any) -> Any:
        """A connection of which nothing but the rows and their number is asked: a list, without a row to spare or cursors."""
        cells: list[Any] = []
        for item in shape.fields:
            if isinstance(item, Constant):
                cells.append(cast(quoted(item.value or ""), Text).label(item.key))
            elif isinstance(item, Column):
                cells.append(self._total(entry, outer).label(item.key))
            else:
                rows, record = self._rows(entry, item.shape, outer, {}, window)
                cells.append(_from(select(_json(_list(record))), rows).correlate(*outer).scalar_subquery().label(item.key))
        return self._record(cells, outer)

    def _total(self, entry: Source, outer: Sequence[Any]) -> Any:
        return select(func.count()).select_from(entry.alias).where(*entry.where).correlate(*outer).scalar_subquery()

    def _edges(self, entry: Source, shape: Shape, outer: Sequence[Any]) -> Any:
        cells = []
        for item in shape.fields:
            if isinstance(item, Column):
                cells.append(_cursor(entry.order).label(item.key))
            elif isinstance(item, Constant):
                cells.append(cast(quoted(item.value or ""), Text).label(item.key))
            else:
                cells.append(self._object(entry, item.shape.fields, outer).label(item.key))
        return self._record(cells, outer)

    def _page_info(self, part: Nested, cursors: Any, limit: Any, offset: Any, after: Any) -> Any:
        kept = func.array_agg(cursors, type_=ARRAY(Text))
        made = {
            "has_next_page": func.count() > limit,
            "has_previous_page": true() if after is not None else (false() if offset is None else clause(offset) > literal_column("0")),
            "start_cursor": kept[1],
            "end_cursor": kept[func.least(func.count(), limit)],
        }
        text: Any = literal_column("'{'")  # put together by hand: a function takes no more than 100 arguments
        for number, item in enumerate(part.shape.fields):
            value = cast(quoted(item.value or ""), Text) if isinstance(item, Constant) else made[getattr(item, "name", "")]
            shown = func.coalesce(cast(func.to_json(value, type_=JSON()), Text), literal_column("'null'"), type_=Text())
            text = cast(text, Text).concat(_key(item.key, "," * (number > 0))).concat(shown)
        return cast(cast(text, Text).concat(literal_column("'}'")), JSON)

    def _keyset(self, order: list[Any], after: Any) -> Any:
        """Rows beyond the cursor, for mixed directions and null keys: (a > x) or (a = x and (b > y or ...))."""
        name = after.clause.key
        whole = self.trace.getters[name]
        beyond: Any = false()
        for number in reversed(range(len(order))):
            key, down = _key_of(order[number]), _descends(order[number])
            is_time = isinstance(key.type, DateTime)

            def value(call: Any, number: int = number, is_time: bool = is_time) -> Any:
                return _cursor_key(whole(call), number, is_time, len(order))

            bound = self.trace.bind(f"{name}_{number}", value, key.type)
            if getattr(key, "nullable", True):  # ascending puts nulls last, descending first
                further = or_(and_(bound.is_(None), key.is_not(None)), key < bound) if down else and_(bound.is_not(None), or_(key > bound, key.is_(None)))
                same = key.is_not_distinct_from(bound)
            else:
                further, same = (key < bound if down else key > bound), key == bound
            beyond = or_(further, and_(same, beyond))
        return beyond


def _whole(source: Any) -> Any:
    """A row of a FROM entry as one value. Its bare name would mean a column, if one of the source's columns were called so."""
    return literal_column(f"{source.name}.*")


def _from(made: Any, rows: list[Any]) -> Any:
    joined = rows[0]
    for part in rows[1:]:
        joined = joined.join(part, true())
    return made.select_from(joined)


def _json(record: Any) -> Any:
    """As a value inside another."""
    return cast(record, JSON) if is_text(record) else record


def _bytes(record: Any) -> Any:
    return func.convert_to(record, literal_column("'UTF8'"), type_=BYTEA()) if is_text(record) else record


def _list(record: Any) -> Any:
    if not is_text(record):
        return func.coalesce(func.json_agg(record), EMPTY_LIST, type_=JSON())
    joined = func.coalesce(func.string_agg(record, literal_column("','")), literal_column("''"), type_=Text())
    return cast(literal_column("'['"), Text).concat(joined).concat(literal_column("']'"))


def _absent(cells: list[tuple[str, Any]]) -> Any:
    """`,"key":value` for each value that is not null, as text behind the record's other keys."""
    text: Any = None
    for key, value in cells:
        piece = _key(key, ",").concat(cast(func.to_json(value, type_=JSON()), Text))
        made = func.coalesce(piece, literal_column("''"), type_=Text())
        text = made if text is None else text.concat(made)
    return text


def _key(key: str, before: str) -> Any:
    """`"key":` as text."""
    quoted(key)
    return cast(literal_column(f"'{before}\"{key}\":'"), Text)


def _first(column: Any, limit: Any, kind: Any) -> Any:
    return func.array_agg(column, type_=ARRAY(kind))[1:limit]


def _key_of(key: Any) -> Any:
    return key.element if isinstance(key, UnaryExpression) else key


def _descends(key: Any) -> bool:
    return isinstance(key, UnaryExpression) and key.modifier is desc_op


def _cursor(order: list[Any]) -> Any:
    keys = cast(func.json_build_array(*[_key_of(k) for k in order]), Text)
    return func.translate(
        func.encode(func.convert_to(keys, literal_column("'UTF8'")), literal_column("'base64'")), literal_column("chr(10)"), literal_column("''")
    )


def _of_view(key: Any, alias: Any) -> Any:
    """Views are ordered by the names of their fields; a leading `-` descends."""
    return alias.c[key[1:]].desc() if key.startswith("-") else alias.c[key]


def _cursor_key(keys: tuple[Any, ...], number: int, is_time: bool, size: int) -> Any:
    try:
        if len(keys) != size:
            raise ValueError
        return datetime.fromisoformat(keys[number]) if is_time and keys[number] is not None else keys[number]
    except (ValueError, TypeError):
        fault = "not a cursor of this list"
        raise Refusal(Code.BAD_REQUEST, f"after: {fault}", fields={"after": fault}) from None
