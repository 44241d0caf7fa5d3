"""Times that the journal is asked for, which a function of the database takes."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from sqlalchemy import cast, null
from sqlalchemy.dialects.postgresql import JSONB

from resolvers.kernel import Filter, Text

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")


def _time(raw: str) -> datetime:
    try:
        if RFC_3339.match(raw) is None:
            raise ValueError
        return datetime.fromisoformat(raw.upper())
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be an RFC 3339 time with a zone") from None


def _since(raw: str) -> str:
    """The first millisecond that is not before it."""
    given = _time(raw)
    beyond = given.microsecond % 1000
    return (given + timedelta(microseconds=1000 - beyond if beyond else 0)).isoformat()


def _until(raw: str) -> str:
    """The last millisecond that is not after it."""
    given = _time(raw)
    return (given - timedelta(microseconds=given.microsecond % 1000)).isoformat()


ANY: Any = Filter(None)
"""Part of no plan's key: it may be there or not, and a function of the database makes its condition."""
Since = Annotated[Annotated[Text, AfterValidator(_since)] | None, ANY]
Until = Annotated[Annotated[Text, AfterValidator(_until)] | None, ANY]


def sql(value: Any) -> Any:
    """A field of an input as a function of the database takes it; NULL where it was not sent."""
    return cast(null(), JSONB) if value is None else value.__clause_element__()
