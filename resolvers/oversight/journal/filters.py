"""Which entries of the journal are asked for: the filters of its list, its count and its stream."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import case, func, null
from sqlalchemy.dialects.postgresql import JSONB

from models.oversight.journal import Priority
from resolvers.kernel import MOST_LISTED, Id, Input, Paging, QueryScope, Text, at_most, constant
from resolvers.kernel.admission.entities import kinds_shown
from resolvers.rules.journal_times import ANY, Since, Until, sql

LONGEST_CURSOR = 400


def _listed(raw: Any) -> Any:
    """The values between commas, without blanks and empty ones."""
    given = raw.split(",", MOST_LISTED + 1) if isinstance(raw, str) else raw
    if not isinstance(given, list) or len(given) > MOST_LISTED or any(not isinstance(part, str) for part in given):
        return given
    return [part.strip() for part in given if part.strip()] or None


Listed = Annotated[
    list[Annotated[str, Field(strict=True, max_length=200)]], at_most(MOST_LISTED), BeforeValidator(_listed)
]
Priorities = Annotated[list[Priority], at_most(MOST_LISTED), BeforeValidator(_listed)]


class FilterJournal(Input):
    """Filters are combined with AND. Lists are separated by commas; values that are not known match nothing.

    `q` are words that follow each other in the summary or the payload, in either case. `since` and `until` are RFC 3339
    times with a zone; both include entries of that millisecond.
    """

    crew_id: Annotated[Id | None, ANY] = None
    agent_id: Annotated[Id | None, ANY] = None
    crew_ids: Annotated[Listed | None, ANY] = None
    agent_ids: Annotated[Listed | None, ANY] = None
    mission_id: Annotated[Id | None, ANY] = None
    trace_id: Annotated[Id | None, ANY] = None
    entry_type: Annotated[Listed | None, ANY] = None
    exclude_entry_type: Annotated[Listed | None, ANY] = None
    severity: Annotated[Listed | None, ANY] = None
    actor_type: Annotated[Listed | None, ANY] = None
    priority: Annotated[Priorities | None, ANY] = None
    since: Since = None
    until: Until = None
    q: Annotated[Text | None, ANY] = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        known = {name: raw[name] for name in cls.model_fields if name in raw}
        given = {name: v.strip() if name == "q" and isinstance(v, str) else v for name, v in known.items()}
        return {name: value for name, value in given.items() if value != "" and _listed_or(name, value) is not None}


def _listed_or(name: str, value: Any) -> Any:
    lists = ("crew_ids", "agent_ids", "entry_type", "exclude_entry_type", "severity", "actor_type", "priority")
    return _listed(value) if name in lists else "" if value is None else value


class ListJournal(FilterJournal, Paging):
    """A page of entries: `cursor`, or `after`, is the place behind which it begins."""

    page_default: ClassVar[int] = 100
    page_maximum: ClassVar[int] = 500
    backwards: ClassVar[bool] = False

    cursor: Annotated[str, Field(strict=True, max_length=LONGEST_CURSOR)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _strictly(cls, raw: Any) -> Any:
        """A bad limit is refused here instead of corrected (contract: journal.list)."""
        if not isinstance(raw, dict):
            return raw
        for name in ("limit", "first"):
            value = raw.get(name)
            if value in (None, ""):
                continue
            whole = not isinstance(value, bool) and re.match(r"[0-9]{1,4}\Z", str(value))
            if not whole or not 1 <= int(value) <= cls.page_maximum:
                raise PydanticCustomError("limit", "limit must be a whole number from 1 to 500")
        place = raw.get("cursor") or raw.get("after")
        kept = set(cls.model_fields) - {"cursor", "after", "offset"}
        return {name: raw[name] for name in kept if name in raw} | ({"after": place} if place else {})


class JournalAsSeen(FilterJournal, Paging):
    """Entries after the position of `after`."""

    page_default: ClassVar[int] = 100
    backwards: ClassVar[bool] = False


class StreamJournal(ListJournal):
    """Entries for a stream; limit and cursor change nothing. `last_event_id`: the last entry that was seen."""

    last_event_id: Id | None = None


class FollowJournal(ListJournal):
    """The input of a stream: entries after `entry`, or entries of transactions from `xid` on."""

    entry: Annotated[Id | None, ANY] = None
    xid: Annotated[Id | None, ANY] = None


def asked(scope: QueryScope, data: Any, **more: Any) -> Any:
    """The filters as the functions of the journal take them. `more`: further arguments, as JSON.

    With words, the kinds whose data may be searched are passed along.
    """

    def one(value: Any) -> Any:
        return case((sql(value).is_(None), null()), else_=func.jsonb_build_array(sql(value), type_=JSONB()))

    def several(value: Any) -> Any:
        return func.to_jsonb(sql(value), type_=JSONB())

    given = {
        "agents": func.coalesce(several(data.agent_ids), one(data.agent_id), type_=JSONB()),
        "crews": func.coalesce(several(data.crew_ids), one(data.crew_id), type_=JSONB()),
        "missions": one(data.mission_id),
        "traces": one(data.trace_id),
        "types": several(data.entry_type),
        "without": several(data.exclude_entry_type),
        "severities": several(data.severity),
        "actors": several(data.actor_type),
        "priorities": several(data.priority),
        "since": sql(data.since),
        "until": sql(data.until),
        "q": sql(data.q),
        "shown": case((sql(data.q).is_(None), null()), else_=kinds_shown(scope)),
        **more,
    }
    parts: list[Any] = []
    for name, value in given.items():
        parts += [constant(name), value]
    return func.jsonb_build_object(*parts, type_=JSONB())
