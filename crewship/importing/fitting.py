"""Values of the Go server as the columns of this one take them: bounds, closed sets, times, JSON.

Text that a column cannot hold is cut, and what has no meaning here becomes the default; both are reported. A row whose
required value is missing is left out.
"""

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson
from pydantic_core import PydanticUndefined
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Float, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from models.base import CHOICES, MOST, most_characters
from models.bounds import cut
from models.sealed import SealedBytes

RANGES: Final = ((SmallInteger, 1 << 15), (BigInteger, 1 << 63), (Integer, 1 << 31))
DEEPEST: Final = 100
Change = Callable[[str], None]
"""Reports a change of a value."""


class Unfit(Exception):
    """The row cannot be stored; the text is the reason."""


class Fitting:
    """One column of a table of this server."""

    def __init__(self, model: type[SQLModel], column: Column[Any]) -> None:
        self.name = str(column.name)
        self.nullable = bool(column.nullable)
        self.given = column.server_default is not None
        self._column = column
        self._default = _default_of(model, self.name)
        self._fit = self._kind()

    @property
    def required(self) -> bool:
        """Returns true if a row needs a value for the column."""
        return not self.nullable and self._default is PydanticUndefined and not self.given

    def of(self, value: Any, change: Change) -> str | None:
        """The text that PostgreSQL reads as the value. Raises Unfit."""
        if value is not None:
            value = self._fit(value, change)
        return self.instead() if value is None else str(value)

    def instead(self) -> str | None:
        """The text of the default. Raises Unfit where the column has none."""
        if self._default is PydanticUndefined:
            if self.nullable:
                return None
            if isinstance(self._column.type, DateTime):
                return datetime.now(UTC).isoformat()
            raise Unfit(f"{self.name} is required")
        if self._default is None and not self.nullable:
            if isinstance(self._column.type, DateTime):
                return datetime.now(UTC).isoformat()
            raise Unfit(f"{self.name} is required")
        return None if self._default is None else _written(self._default, self._column)

    def _kind(self) -> Callable[[Any, Change], str | None]:
        kind = self._column.type
        if CHOICES in self._column.info:
            return self._choice
        if isinstance(kind, JSONB):
            return self._json
        if isinstance(kind, Boolean):
            return self._switch
        if isinstance(kind, Float):
            return self._number
        if isinstance(kind, Integer):
            return self._integer
        if isinstance(kind, DateTime):
            return self._time
        if isinstance(kind, Date):
            return self._day
        if isinstance(kind, SealedBytes):
            raise TypeError(f"{self.name} is a secret")
        return self._text

    def _text(self, value: Any, change: Change) -> str | None:
        text, most = clean(value, self.name, change), most_characters(self._column)
        if self.name == "id" or self._column.foreign_keys:
            if most is not None and len(text) > most:
                raise Unfit(f"{self.name} is longer than {most} characters")
            return text
        if most is not None and len(text) > most:
            change(f"{self.name} was cut to {most} characters")
            return cut(text, most)
        return text

    def _choice(self, value: Any, change: Change) -> str | None:
        known = {str(choice.value).lower(): str(choice.value) for choice in self._column.info[CHOICES]}
        found = known.get(str(value).lower())
        if found is None and value != "":
            change(f"{self.name} {str(value)[:40]!r} is unknown here")
            if self.required:
                raise Unfit(f"{self.name} {str(value)[:40]!r} is unknown here")
        return found

    def _json(self, value: Any, change: Change) -> str | None:
        if isinstance(value, str | bytes):
            text = clean(value, self.name, change)
            if text == "":
                return None
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                change(f"{self.name} is not JSON")
                return None
        if self._is_list() is not None and isinstance(value, list) is not self._is_list():
            change(f"{self.name} has another form")
            return None
        try:
            written = orjson.dumps(_plain(value, DEEPEST))
        except (Unfit, TypeError, ValueError):
            change(f"{self.name} is JSON that PostgreSQL does not store")
            return None
        most = self._column.info.get(MOST)
        if most is not None and len(written) > most:
            change(f"{self.name} is larger than {most} bytes")
            return None
        return written.decode()

    def _is_list(self) -> bool | None:
        """Returns true for a column of lists; None for one of any form."""
        return None if self._default is PydanticUndefined or self._default is None else isinstance(self._default, list)

    def _switch(self, value: Any, change: Change) -> str | None:
        return "true" if str(value).strip().lower() in ("1", "true", "t", "yes", "1.0") else "false"

    def _integer(self, value: Any, change: Change) -> str | None:
        try:
            number = int(value) if isinstance(value, int) else int(float(value))
        except (ValueError, OverflowError, TypeError):
            change(f"{self.name} is not a number")
            return None
        end = next(most for kind, most in RANGES if isinstance(self._column.type, kind))
        if not -end <= number < end:
            change(f"{self.name} is out of range")
            return None
        return str(number)

    def _number(self, value: Any, change: Change) -> str | None:
        try:
            number = float(value)
        except (ValueError, TypeError):
            number = math.nan
        if not math.isfinite(number):
            change(f"{self.name} is not a number")
            return None
        return repr(number)

    def _time(self, value: Any, change: Change) -> str | None:
        found = time_of(value)
        if found is None and value != "":
            change(f"{self.name} is not a time")
        return None if found is None else found.isoformat()

    def _day(self, value: Any, change: Change) -> str | None:
        try:
            return date.fromisoformat(str(value)[:10]).isoformat()
        except ValueError:
            change(f"{self.name} is not a day")
            return None


def clean(value: Any, name: str, change: Change) -> str:
    """Text without NUL, which PostgreSQL does not store, and in UTF-8."""
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            change(f"{name} was not UTF-8")
            text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if "\0" in text:
        change(f"{name} had NUL characters")
        text = text.replace("\0", "")
    return text


def time_of(value: Any) -> datetime | None:
    """Times of SQLite and of Go; one without a zone is UTC."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        except (ValueError, OverflowError, OSError):
            return None
    text = str(value).strip()
    if " +" in text or text.endswith(" UTC"):  # as Go prints a time
        text = text.split(" +")[0].removesuffix(" UTC")
    try:
        found = datetime.fromisoformat(_at_most_microseconds(text))
    except ValueError:
        return None
    made = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return made if 1 < made.year < 9999 else None


def _at_most_microseconds(text: str) -> str:
    whole, dot, rest = text.partition(".")
    if not dot:
        return text
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{whole}.{rest[: min(digits, 6)].ljust(6, '0')}{rest[digits:]}"


def _plain(value: Any, deepest: int) -> Any:
    """JSON without NUL, lone surrogates, and numbers that no JSON has."""
    if deepest == 0:
        raise Unfit("JSON is nested too deeply")
    if isinstance(value, str):
        return clean(value, "", lambda _: None)
    if isinstance(value, dict):
        return {clean(name, "", lambda _: None): _plain(each, deepest - 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, deepest - 1) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return float(value)
    return value


def _default_of(model: type[SQLModel], name: str) -> Any:
    field = model.model_fields.get(name)
    if field is None:
        return PydanticUndefined
    if field.default_factory is not None:
        return PydanticUndefined if name == "id" else field.default_factory()  # type: ignore[call-arg]
    return field.default


def _written(value: Any, column: Column[Any]) -> str:
    if isinstance(column.type, JSONB):
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(getattr(value, "value", value))
