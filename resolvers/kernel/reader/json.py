"""JSON as text: builds answers in SQL.

PostgreSQL's row_to_json and json_agg look up the type of each value for each row. Here the types are known when the
statement is built: an answer is one chain of `||`, and a value is escaped only if the database does not restrict it to
harmless letters. This saves a quarter of PostgreSQL's work for a list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Float, Integer, String, Text, cast, func, literal_column
from sqlalchemy import Column as SQLColumn
from sqlalchemy.dialects.postgresql import BYTEA

from models.base import most_bytes
from models.plain import is_plain
from resolvers.errors import Code, Refusal
from resolvers.kernel.reader.shape import ALIAS_BYTES

ISO: Any = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS"Z"'""")
UTC: Any = literal_column("'UTC'")
UNDECLARED = 64 * 1024  # letters of a text whose column declares no length
NULL, NOTHING = "null", literal_column("''", Text())

Part = Any
"""Literal text (a str), or an expression of text."""


@dataclass(frozen=True)
class Value:
    """Parts of JSON text, to be joined. `nullable`: one of them may be NULL in SQL, and the
    value is JSON's null then.
    """

    parts: tuple[Part, ...]
    nullable: bool = False
    most: int = 64  # bytes at most, but for what JSON escapes: for choosing how an answer is held to its limit

    @property
    def text(self) -> Any:
        return joined(self.parts)

    @property
    def filled(self) -> tuple[Part, ...]:
        """Parts that are never NULL."""
        return (func.coalesce(self.text, literal_column(f"'{NULL}'"), type_=Text()),) if self.nullable else self.parts


def checked(text: str) -> str:
    """Checks the text of a string literal. Only names of fields, types and aliases are passed here."""
    if len(text.encode()) > ALIAS_BYTES or "'" in text or "\\" in text or '"' in text:
        raise Refusal(Code.BAD_REQUEST, f"The name '{text[:80]}' is too long or contains a quote")
    return text


def joined(parts: Iterable[Part]) -> Any:
    """One expression of text; literal parts that stand side by side become one."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    pieces = [literal_column(f"'{part}'", Text()) if isinstance(part, str) else part for part in merged]
    if len(pieces) == 1:
        return cast(pieces[0], Text) if isinstance(merged[0], str) else pieces[0]
    return _halves(pieces)


def _halves(pieces: list[Any]) -> Any:
    """Joined as a tree: each letter is copied as often as the tree is deep, and not once for every piece behind it."""
    if len(pieces) < 8:
        text = pieces[0]
        for piece in pieces[1:]:
            text = text.concat(piece)
        return text
    middle = len(pieces) // 2
    return _halves(pieces[:middle]).concat(_halves(pieces[middle:]).self_group())


def as_bytes(value: Value) -> Any:
    """The answer of a statement; NULL if the value is null."""
    return func.convert_to(value.text, literal_column("'UTF8'"), type_=BYTEA())


def constant(text: str | None, plain: bool = False) -> Value:
    """`plain`: JSON, of a route's declaration."""
    return Value((NULL if text is None else text if plain else f'"{checked(text)}"',))


def in_utc(column: Any) -> Any:
    """RFC 3339 in UTC to the second (contract: formats.time)."""
    return func.to_char(func.timezone(UTC, column), ISO)


def largest(column: Any, stored: "SQLColumn[Any] | None") -> int:
    """Bytes of the text of a column, at most."""
    if isinstance(column.type, (DateTime, Integer, Boolean, Float)):
        return 32
    return (None if stored is None else most_bytes(stored)) or UNDECLARED


def value_of(column: Any, stored: "SQLColumn[Any] | None" = None) -> Value:
    """`stored`: the table's column, if the value is one; its constraints hold. None for computed values."""
    kind, nullable = column.type, stored is None or bool(stored.nullable)
    if isinstance(kind, DateTime):
        return Value(('"', in_utc(column), '"'), nullable, 32)
    if stored is not None and is_plain(stored):
        return Value(('"', column, '"'), nullable, largest(column, stored))
    if isinstance(kind, (Integer, Boolean, JSON)):
        return Value((cast(column, Text),), nullable, largest(column, stored))
    # a bare literal has no type of its own
    known = cast(column, Text) if stored is None and isinstance(kind, String) else column
    return Value((cast(func.to_json(known, type_=JSON()), Text),), nullable, largest(column, stored))


def number(count: Any) -> Value:
    return Value((cast(count, Text),))


def truth(condition: Any) -> Value:
    return Value((cast(condition, Text),))


def quoted(text: Any) -> Value:
    """Text that needs no escaping, such as base64; NULL is null."""
    return Value(('"', text, '"'), nullable=True)


def array(elements: Any, most: int) -> Value:
    """`elements`: text with commas between them, or NULL without elements."""
    return Value(("[", func.coalesce(elements, NOTHING, type_=Text()), "]"), most=most)


def dictionary(elements: Any, most: int) -> Value:
    """`elements`: pairs, as text with commas between them, or NULL where there are none."""
    return Value(("{", func.coalesce(elements, NOTHING, type_=Text()), "}"), most=most)


def pair(key: Value, value: Value) -> Value:
    """A key, which is text and never null, and its value."""
    return Value((*key.parts, ":", *value.filled), most=key.most + value.most)


def listed(record: Any) -> Any:
    """The aggregate of one text a row; NULL without rows."""
    return func.string_agg(record, literal_column("','"), type_=Text())


def record(
    fields: Sequence[tuple[str, Value]],
    absent: Sequence[tuple[str, Value]] = (),
    ahead: Sequence[tuple[str, Value]] = (),
) -> Value:
    """An object. The keys of `absent` come last and are left out if their value is null; so are the keys of `ahead`,
    which precede at least one field.
    """
    parts: list[Part] = ["{", *[_optional(f'"{checked(key)}":', *value.parts, ",") for key, value in ahead]]
    for place, (key, value) in enumerate(fields):
        parts += [f'{"," * (place > 0)}"{checked(key)}":', *value.filled]
    left: list[Part] = [_optional(f',"{checked(key)}":', *value.parts) for key, value in absent]
    if left and not fields:
        left = [func.ltrim(joined(left), literal_column("','"), type_=Text())]
    most = sum([len(key) + 4 + value.most for key, value in (*ahead, *fields, *absent)]) + 2
    return Value((*parts, *left, "}"), most=most)


def _optional(*parts: Part) -> Part:
    """Empty if one of the parts is NULL."""
    return func.coalesce(joined(parts), NOTHING, type_=Text())
