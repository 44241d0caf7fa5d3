"""Rows x shape -> one SQLAlchemy select whose columns are `payload` (JSON, as bytes) and `version`."""

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Integer,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.elements import FunctionFilter

from models.base import TenantRow, most_characters
from resolvers.kernel.ground.inputs import Input, NoInput, Paging
from resolvers.kernel.ground.policy import GATES, MEMBERS, Action
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.reader.graph import CONFIDENTIAL, GRAPHS, SHOWN, Derived, Edge, Either, gates_of_edge
from resolvers.kernel.reader.json import (
    Value,
    array,
    as_bytes,
    constant,
    dictionary,
    largest,
    listed,
    number,
    pair,
    quoted,
    record,
    truth,
    value_of,
)
from resolvers.kernel.reader.rows import Read, Rows, Window, only_readable
from resolvers.kernel.reader.shape import Beside, Column, Constant, EnvelopeShape, InputValue, Item, Nested, Part, Shape
from resolvers.kernel.reader.sources import ONE, Source, Sources
from resolvers.kernel.reader.trace import Trace

ZERO: Any = literal_column("0")
NO_ENTRIES: Any = literal_column("'[]'::jsonb")
LIST_LIMIT = 1000  # rows of an edge read as a plain list
LARGEST_ANSWER = 32 * 2**20  # bytes of JSON
# an answer that can be this many times too large is looked at when it is made; one that can be larger, while it is made
LATE = 10
LARGE_ROW = 2 * 2**20  # bytes that the columns of a row may make before they are weighed
ALL_ROWS = 10**6  # how many rows a list without an end is taken to have


class Builder(Sources):
    """Builds one statement. `scope` has the facts about the caller that derived values may use."""

    def __init__(self, trace: Trace, scope: Any, slots: tuple[Input, ...] = ()) -> None:
        super().__init__(trace, scope)
        self.slots = slots
        # bytes for the list that is being built: its share, where it stands in a row with others
        self.room = LARGEST_ANSWER

    def answer(
        self,
        read: Read[Any],
        shape: Shape,
        outer: Sequence[Any],
        allowed: Any = None,
        source: Any = None,
        held: bool = False,
    ) -> Any:
        """The select of the whole answer. `source`: read from this (a row being inserted) instead of from the table.

        `held`: the caller has just written or found the row, so its visibility is not checked again.
        """
        if shape.form == "object" and not read.many:
            entry = self._source(read, outer, source, held)
            versioned = entry.table is not None and "version" in entry.table.c
            version = entry.alias.c.version if versioned else null()
            payload = as_bytes(self._object(entry, shape.fields, [*outer, entry.alias])).label("payload")
            guard = [] if allowed is None else [allowed]
            return self._select(entry, outer, read.window, payload, version.label("version"), where=guard)
        payload = as_bytes(self._read(read, shape, outer, source=source))
        if read.parent is not None:
            parent = self._source(read.parent, outer, held=read.parent.hidden)
            stands = select(ONE).select_from(parent.alias).where(*parent.where).correlate(*outer).exists()
            allowed = stands if allowed is None else and_(allowed, stands)
        made = select(
            (payload if allowed is None else case((allowed, payload))).label("payload"), null().label("version")
        )
        return made.correlate(*outer)

    def _list(
        self, entry: Source, fields: Sequence[Item], outer: Sequence[Any], window: Window, by_key: bool = False
    ) -> Value:
        """`by_key`: one object, of which each row is a key and its value."""
        rows = self._window(entry, outer, window)
        inside = [*outer, rows.alias]
        around, row = array, self._object(rows, fields, inside)
        if by_key:
            key, value = [self._field(rows, item, inside) for item in fields]
            around, row = dictionary, pair(key, value)
        most = row.most * (window.most or ALL_ROWS)
        if most <= self.room:
            return around(self._made(rows, outer, listed(row.text)).scalar_subquery(), most)
        if most <= LATE * self.room:
            whole = self._made(rows, outer, listed(row.text).label("rows")).offset(ZERO).subquery(self.trace.name("b"))
            return around(
                select(self._within(func.octet_length(whole.c.rows), whole.c.rows))
                .select_from(whole)
                .correlate(*outer)
                .scalar_subquery(),
                self.room,
            )
        bounded = self._bounded(self._made(rows, outer, row.text.label("row")), outer)
        return around(select(listed(bounded.c.row)).select_from(bounded).correlate(*outer).scalar_subquery(), self.room)

    def _within(self, size: Any, text: Any) -> Any:
        """`text`, or the end of the statement where `size` is beyond what is left for it."""
        return case((size > literal_column(str(self.room)), func.answer_too_large(type_=Text())), else_=text)

    def _bounded(self, rows: Any, outer: Sequence[Any]) -> Any:
        """Rows of text that could be too much together: they are summed up while they are made, and the first beyond
        the limit ends the statement.
        """
        made = rows.offset(ZERO).subquery(self.trace.name("b"))
        bytes_ = [func.coalesce(func.octet_length(c), ZERO, type_=Integer()) for c in made.c]
        summed = select(*made.c, func.sum(sum(bytes_[1:], bytes_[0])).over(rows=(None, 0)).label("so_far")).select_from(
            made
        )
        counted = summed.correlate(*outer).subquery(self.trace.name("b"))
        fits = self._within(counted.c.so_far, literal_column("''", Text())).is_not(None)
        return (
            select(*[counted.c[c.key] for c in made.c])
            .select_from(counted)
            .where(fits)
            .correlate(*outer)
            .subquery(self.trace.name("b"))
        )

    def _read(self, read: Read[Any], shape: Shape, outer: Sequence[Any], link: Any = None, source: Any = None) -> Value:
        """The rows of `read` in `shape`. `link(alias)` gives the conditions of an edge."""
        entry = self._source(read, outer, source)
        if link is not None:
            entry.where += link(entry.alias)
        if shape.form == "connection":
            return self._connection(read, entry, shape, outer)
        if shape.form == "count":
            return number(self._total(entry, outer))
        if shape.form == "list":
            return self._list(entry, shape.fields, outer, read.window)
        if shape.form == "map":
            return self._list(entry, shape.fields, outer, read.window, by_key=True)
        if isinstance(shape, EnvelopeShape):
            return self._envelope(entry, shape, outer, read.window)
        inside = [*outer, entry.alias]
        value = shape.form == "value"
        row = self._field(entry, shape.fields[0], inside) if value else self._object(entry, shape.fields, inside)
        return Value(
            (self._select(entry, outer, read.window, row.text).scalar_subquery(),), nullable=True, most=row.most
        )

    # ---- one field -----------------------------------------------------------------------------------------------

    def _object(self, entry: Source, fields: Sequence[Item], outer: Sequence[Any]) -> Value:
        """An object made of the current row."""
        shown: list[tuple[str, Value]] = []
        absent: list[tuple[str, Value]] = []
        room = self.room
        self.room = room // max(1, sum([isinstance(item, Nested) and item.name is not None for item in fields]))
        for item in fields:
            (absent if getattr(item, "absent", False) else shown).append((item.key, self._field(entry, item, outer)))
        self.room = room
        return self._weighed(entry, fields, record(shown, absent))

    def _weighed(self, entry: Source, fields: Sequence[Item], made: Value) -> Value:
        """An object whose columns could exceed the size limit together: their bytes are counted before it is built.

        The size of a text is known without reading it. JSON has to be printed, so it counts where it is requested more
        than once.
        """
        if entry.table is None:
            return made
        times = Counter([item.name for item in fields if isinstance(item, Column) and item.name in entry.table.c])
        columns = {name: entry.table.c[name] for name in times}
        heavy = [
            n
            for n, c in columns.items()
            if most_characters(c) is not None or (times[n] > 1 and isinstance(c.type, JSON))
        ]
        if sum([largest(columns[n], columns[n]) * times[n] for n in heavy]) <= LARGE_ROW:
            return made
        texts = {
            n: entry.column(n) if most_characters(columns[n]) is not None else cast(entry.column(n), Text)
            for n in heavy
        }
        bytes_ = [
            func.coalesce(func.octet_length(text), ZERO, type_=BigInteger()) * literal_column(str(times[n]))
            for n, text in texts.items()
        ]
        return Value((self._within(sum(bytes_[1:], bytes_[0]), made.text),), most=made.most)

    def _field(self, entry: Source, item: Item, outer: Sequence[Any]) -> Value:
        if isinstance(item, Constant):
            return constant(item.value, item.plain)
        known = GRAPHS.get(entry.model, {})
        if isinstance(item, Column):
            made = known.get(item.name)
            if isinstance(made, Derived):
                column, stored = clause(made.expression(entry.columns, self.scope.within(outer))), None
                only_readable(column)
            else:
                column, stored = entry.column(item.name), None if entry.table is None else entry.table.c[item.name]
                action = CONFIDENTIAL.get(entry.model, {}).get(item.name)
                column = column if action is None else self._confided(entry, column, action, outer)
                shown = SHOWN.get(entry.model, {}).get(item.name)
                column = column if shown is None else shown(entry.columns, self.scope.within(outer))
            zero = NO_ENTRIES if isinstance(column.type, JSONB) else ZERO
            return value_of(func.nullif(column, zero, type_=column.type)) if item.zero else value_of(column, stored)
        if item.name is None:
            own = self._object(entry, item.shape.fields, outer)
            first = (
                next((field.name for field in item.shape.fields if isinstance(field, Column)), None)
                if item.absent
                else None
            )
            if first is None:
                return own
            return Value(
                (case((entry.column(first).is_not(None), own.text), else_=null()),), nullable=True, most=own.most
            )
        edge = known[item.name]
        if isinstance(edge, Derived):
            raise TypeError(f"{entry.model.__name__}.{item.name} is a value, not an edge")
        if isinstance(edge, Either):
            return self._either(entry, edge, item, outer)
        made_of = self._edge(entry, edge, item, outer)
        if item.zero:
            none: Any = literal_column("'[]'" if item.shape.form == "list" else "'0'")
            made_of = Value((func.nullif(made_of.text, none, type_=Text()),), nullable=True, most=made_of.most)
        return made_of if item.asked is None else self._if_asked(item.asked, made_of)

    def _if_asked(self, flag: str, value: Value) -> Value:
        """Returns a value only to callers who request it by a flag of the input; otherwise nothing is read."""
        asked = self.trace.bind(f"asked_{flag}", attrgetter(f"data.{flag}"), Boolean())
        return Value((case((asked, value.text), else_=null()),), nullable=True, most=value.most)

    def _confided(self, entry: Source, column: Any, action: Action, outer: Sequence[Any]) -> Any:
        """The column for the roles that may see it. PostgreSQL does not fetch a long text that it does not show."""
        return case((self.scope.within(outer).may(entry.columns, action), column), else_=null())

    def _edge(self, entry: Source, edge: Edge, item: Nested, outer: Sequence[Any]) -> Value:
        report = None
        if edge.source is not None:
            report = (
                edge.source(entry.columns, self.scope.within(outer)).correlate(*outer).subquery(self.trace.name("v"))
            )
        order = edge.order_by
        if edge.ahead is not None:
            order = (*edge.ahead(entry.columns, self.scope.within(outer)), *order)
        rows: Any = Rows(edge.target, source=report, where=edge.where, order=order)
        if item.slot is not None:
            values = self.slots[item.slot]
            data = self.trace.symbolic(type(values), values, item.slot)
            rows = edge.narrow(rows, data) if edge.narrow is not None else rows.matching(data)
            rows = rows.page(data) if isinstance(data, Paging) else rows
        elif edge.kind == "many" and item.shape.form == "list":
            rows = rows.limit(LIST_LIMIT)

        def link(target: Any) -> list[Any]:
            conditions = [edge.on(entry.columns, target.c)]
            if issubclass(edge.target, TenantRow) and "workspace_id" in entry.alias.c:
                conditions.append(target.c.workspace_id == entry.column("workspace_id"))
            return conditions

        return self._read(rows, item.shape, outer, link)

    def _either(self, entry: Source, either: Either, item: Nested, outer: Sequence[Any]) -> Value:
        """The row of the member that the column names: each is read as an edge of its own is, and none but that one."""
        kind = entry.column(either.by)
        members = [
            (part.key, self._edge(entry, either.members[part.key], part, outer))
            for part in item.shape.fields
            if isinstance(part, Nested)
        ]
        scope = self.scope.within(outer)
        rows = []
        for name, row in members:
            gates = gates_of_edge(either.members[name]) if either.guarded else ()
            passes = [scope.may(entry.columns, gate) for gate in gates if GATES[gate] != MEMBERS]
            rows.append((and_(kind == literal_column(f"'{name}'"), *passes), row.text))
        return Value((case(*rows, else_=null()),), nullable=True, most=max([row.most for _, row in members]))

    # ---- connections ---------------------------------------------------------------------------------------------

    def _connection(self, read: Read[Any], entry: Source, shape: Shape, outer: Sequence[Any]) -> Value:
        """nodes, edges, pageInfo and totalCount of a window: the window is read once, with one row to spare."""
        read_all = read.window.limit is None
        size = 100 if read_all else read.window.most
        limit = literal_column("100") if read_all else clause(read.window.limit)
        page = read.window._replace(limit=limit, most=size)
        asked = [item.shape.form for item in shape.fields if isinstance(item, Nested)]
        if asked in ([], ["list"]):
            return self._without_pages(entry, shape, outer, page)
        window = self._window(entry, outer, page._replace(limit=limit + ONE))
        inside = [*outer, window.alias]
        cells, most = list[Any](), 0
        for place, item in enumerate(shape.fields):
            if isinstance(item, Nested):
                cell = self._cell(window, item, inside)
                most += cell.most * (1 + (size or ALL_ROWS))
                cells.append(cell.text.label(f"n{place}"))
        made = self._made(window, outer, *cells, marked=True)
        rows = made.subquery(self.trace.name("q")) if most <= self.room else self._bounded(made, outer)
        most = min(most, self.room)
        parts: list[tuple[str, Value]] = []
        for place, item in enumerate(shape.fields):
            if isinstance(item, Constant):
                part = constant(item.value)
            elif isinstance(item, Column):
                part = number(self._total(entry, outer))
            elif item.shape.form == "page_info":
                part = self._page_info(item, rows.c[f"n{place}"], page, _number(rows))
            else:
                kept = _kept(rows.c[f"n{place}"], page, _number(rows))
                part = array(
                    func.array_to_string(kept, literal_column("','"), type_=Text()),
                    most,
                )
            parts.append((item.key, part))
        # HAVING: one row, also where no aggregate is left
        answer = select(record(parts).text).select_from(rows).having(true())
        return Value((answer.correlate(*outer).scalar_subquery(),), most=most + 1000)

    def _without_pages(self, entry: Source, shape: Shape, outer: Sequence[Any], window: Window) -> Value:
        """A connection of which nothing but the rows and their number is asked: a list, without a row to spare or
        cursors.
        """
        parts: list[tuple[str, Value]] = []
        for item in shape.fields:
            if isinstance(item, Constant):
                parts.append((item.key, constant(item.value)))
            elif isinstance(item, Column):
                parts.append((item.key, number(self._total(entry, outer))))
            else:
                parts.append((item.key, self._list(entry, item.shape.fields, outer, window)))
        return record(parts)

    def _envelope(self, entry: Source, shape: EnvelopeShape, outer: Sequence[Any], window: Window) -> Value:
        """A list and the values beside it. Matching rows are counted once, even if the number is shown several
        times.
        """
        if shape.shows("next"):
            return self._page_by_cursor(entry, shape, outer, window)
        counted = None
        if shape.shows("total", "pages"):
            # OFFSET 0: else the number would be counted wherever it is named
            counted = (
                select(self._total(entry, outer).label("total"))
                .correlate(*outer)
                .offset(ZERO)
                .subquery(self.trace.name("n"))
            )
        made = self._enclosed(entry, shape, outer, window, None if counted is None else counted.c.total)
        if counted is None:
            return made
        return Value((select(made.text).select_from(counted).correlate(*outer).scalar_subquery(),), most=made.most)

    def _page_by_cursor(self, entry: Source, shape: EnvelopeShape, outer: Sequence[Any], window: Window) -> Value:
        """A list, and the cursor after it, which is empty at the end: the window is read once, with one extra row."""
        limit, size = window.limit, window.most
        rows = self._window(entry, outer, window._replace(limit=clause(limit) + ONE))
        (listed_as,) = [part for part in shape.parts if isinstance(part, Nested)]
        row = self._object(rows, listed_as.shape.fields, [*outer, rows.alias])
        most = row.most * (1 + (size or ALL_ROWS))
        cells = self._made(rows, outer, row.text.label("n0"), self._cursor(rows).label("n1"), marked=True)
        made = cells.subquery(self.trace.name("q")) if most <= self.room else self._bounded(cells, outer)
        found, cursors = _number(made), func.array_agg(made.c.n1, type_=ARRAY(Text))
        kept = func.array_to_string(_kept(made.c.n0, window, found), literal_column("','"), type_=Text())
        goes_on = [(found > clause(limit), cursors[clause(limit)])]
        if rows.mark is not None:
            goes_on.append((func.count() > found, cursors[func.count()]))
        values = {
            "next": quoted(case(*goes_on, else_=literal_column("''"))),
            "shown": number(func.least(found, clause(limit))),
        }
        rows_shown = array(kept, min(most, self.room))
        parts = [(part.key, values[part.name] if isinstance(part, Column) else rows_shown) for part in shape.parts]
        page = select(record(parts).text).select_from(made).having(true())
        return Value((page.correlate(*outer).scalar_subquery(),), most=min(most, self.room) + 1000)

    def _enclosed(self, entry: Source, shape: EnvelopeShape, outer: Sequence[Any], window: Window, total: Any) -> Value:
        ahead, shown, absent = list[tuple[str, Value]](), list[tuple[str, Value]](), list[tuple[str, Value]]()
        for part in shape.parts:
            place = (absent if shown else ahead) if getattr(part, "absent", False) else shown
            place.append((part.key, self._part(entry, part, outer, window, total)))
        return record(shown, absent, ahead)

    def _part(self, entry: Source, part: Part, outer: Sequence[Any], window: Window, total: Any) -> Value:
        if isinstance(part, InputValue):
            return self._asked(part)
        if isinstance(part, Beside):
            return self._read(part.query.within(self.scope.within(outer), NoInput()), part.shape, outer)
        if isinstance(part, Nested):
            if isinstance(part.shape, EnvelopeShape):
                return self._enclosed(entry, part.shape, outer, window, total)
            return self._list(entry, part.shape.fields, outer, window)
        if part.name == "shown":
            return number(self._made(self._window(entry, outer, window), outer, func.count()).scalar_subquery())
        if part.name == "total":
            return number(total)
        size = clause(window.limit)
        return number(func.div(total + size - ONE, size, type_=Integer()))

    def _asked(self, part: InputValue) -> Value:
        """A value of the input. A value that may be absent is absent if the call's subject was not found."""
        value: Any = self.trace.bind(f"asked_{part.name}", attrgetter(f"data.{part.name}"), part.type)
        if part.empty:
            value = func.coalesce(value, literal_column("''"))
        if part.absent:
            value = case((self.scope.workspace_id.clause.is_not(None), value), else_=null())
        return value_of(value)

    def _cell(self, entry: Source, item: Nested, outer: Sequence[Any]) -> Value:
        """The text that a part of a connection shows of one row."""
        if item.shape.form == "page_info":
            return Value((self._cursor(entry),))
        if item.shape.form != "edges":
            return self._object(entry, item.shape.fields, outer)
        parts: list[tuple[str, Value]] = []
        for part in item.shape.fields:
            if isinstance(part, Constant):
                parts.append((part.key, constant(part.value)))
            elif isinstance(part, Column):
                parts.append((part.key, quoted(self._cursor(entry))))
            else:
                parts.append((part.key, self._object(entry, part.shape.fields, outer)))
        return record(parts)

    def _page_info(self, part: Nested, cursors: Any, window: Window, rows: Any) -> Value:
        """More rows follow in the direction of the window if the extra row was found or the search for it was stopped;
        in the other direction, if the window does not begin at the end of the list. `rows`: the number found.
        """
        found, (start, end) = func.array_agg(cursors, type_=ARRAY(Text)), _ends(window, rows)
        skips = false() if window.offset is None else clause(window.offset) > ZERO
        more = rows > window.limit
        if isinstance(rows, FunctionFilter):
            end = case((and_(rows <= window.limit, func.count() > rows), func.count()), else_=end)
            more = or_(more, func.count() > rows)
        sides = [truth(more), truth(skips if window.place is None else true())]
        next_page, previous_page = reversed(sides) if window.backward else sides
        made = {
            "has_next_page": next_page,
            "has_previous_page": previous_page,
            "start_cursor": quoted(found[start]),
            "end_cursor": quoted(found[end]),
        }
        return record(
            [
                (item.key, constant(item.value) if isinstance(item, Constant) else made[getattr(item, "name", "")])
                for item in part.shape.fields
            ]
        )


def _number(rows: Any) -> Any:
    """The number of rows of a window that were read, including the extra one but not a mark."""
    return func.count().filter(rows.c.mark.is_(None)) if "mark" in rows.c else func.count()


def _ends(window: Window, number: Any) -> tuple[Any, Any]:
    """The first and the last row of a window among those that were read."""
    if window.backward:
        return func.greatest(number - clause(window.limit), ZERO) + ONE, number
    return ONE, func.least(number, clause(window.limit))


def _kept(column: Any, window: Window, number: Any) -> Any:
    start, end = _ends(window, number)
    return func.array_agg(column, type_=ARRAY(Text))[start:end]
