"""Inputs of operations: validated once, here, for both surfaces."""

import base64
import binascii
import re
import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from models import bounds
from resolvers.errors import Code, Refusal
from resolvers.kernel.ground import faults
from resolvers.kernel.ground.bounds import ENDS, declared, unbounded, unstorable, within, without_secrets

M = TypeVar("M", bound=BaseModel)
BODY = "Invalid JSON body"
INT32 = 2**31 - 1
SLUG = r"^[a-z0-9][a-z0-9_-]*$"
EMAIL = r"^[a-zA-Z0-9._%+\-]+@[a-zA-Z0-9.\-]+\.[a-zA-Z]{2,}$"
NESTING = 100  # levels of a JSON value; what writes JSON gives up at 254, and recursion before 1000


class Input(BaseModel):
    """Base of inputs. Null counts as absent for fields that are not nullable (contract: requests.null_values).

    Every text, list and object declares its maximum size: a class with an unlimited one is a TypeError.
    """

    model_config = ConfigDict(extra="ignore", defer_build=True)

    most_values: ClassVar[int] = 10_000
    """In the lists and objects of one field, however deep."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        fields = declared(cls, Input)
        without_secrets(cls, fields)
        endless = unbounded(cls, fields)
        if endless:
            raise TypeError(f"{cls.__name__} has no bound for " + "; ".join(endless))

    @model_validator(mode="before")
    @classmethod
    def _normalise(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        fields = cls.__pydantic_fields__
        kept = {}
        for name, value in raw.items():
            field = fields.get(name)
            if field is None or (value is None and not accepts_none(field.annotation)):
                continue
            plain = "\0" not in value if value.__class__ is str else value.__class__ is int
            if not plain and (fault := unstorable(value, NESTING, cls.most_values)) is not None:
                raise PydanticCustomError("unstorable", fault, {"field": name})
            kept[name] = value
        return kept

    def changes(self, *without: str) -> dict[str, Any]:
        """Only the fields that the caller sent: the body of a PATCH."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name in self.model_fields_set and name not in without
        }


class NoInput(Input):
    """For operations that take nothing."""


def accepts_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)


def bare(annotation: Any) -> Any:
    """The annotation without None and without Annotated."""
    while True:
        if accepts_none(annotation):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            return annotation


def is_choice(annotation: Any) -> bool:
    """A closed set: its value may steer how a statement is built, so it belongs to the plan's key."""
    kind = bare(annotation)
    return get_origin(kind) is Literal or (isinstance(kind, type) and (kind is bool or issubclass(kind, Enum)))


TRIMMED = BeforeValidator(lambda raw: raw.strip() if isinstance(raw, str) else raw)
"""For a text, or a choice, that is taken without the blanks around it; its bounds hold for what is left."""

# Numbers and booleans of a JSON body are taken as they are written: "5" is not 5.
Int = Annotated[int, Field(strict=True, ge=-INT32 - 1, le=INT32)]
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Bool = Annotated[bool, Field(strict=True)]
# Lengths count characters. `Text` is one line; what a person writes at length says so by its type.
Id = Annotated[str, Field(strict=True, max_length=bounds.ID)]
Text = Annotated[str, Field(strict=True, max_length=bounds.LINE)]
Name = Annotated[str, Field(strict=True, min_length=2, max_length=bounds.NAME)]
Slug = Annotated[str, Field(pattern=SLUG, min_length=2, max_length=bounds.SLUG)]
Email = Annotated[str, Field(pattern=EMAIL, max_length=bounds.EMAIL)]
Url = Annotated[str, Field(strict=True, max_length=bounds.URL)]
Description = Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION)]
Prompt = Annotated[str, Field(strict=True, max_length=bounds.PROMPT)]
ConfigText = Annotated[str, Field(strict=True, max_length=bounds.CONFIG)]
Notes = Annotated[dict[str, Any], within(bounds.NOTES), ENDS]
"""An object of any shape."""


def at_most(entries: int) -> Any:
    """For a list: how many entries it has at most. It is read no further than to its first fault."""
    return Field(max_length=entries, fail_fast=True)


def _flag(raw: Any) -> bool:
    return raw is True or raw == "true"


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A boolean of a query string: `true`, anything else is false."""


def whole(raw: Any) -> int | None:
    """A whole number out of a query string or a JSON value; None when it is none, or beyond 32 bits."""
    try:
        value = int(raw)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if -INT32 <= value <= INT32 else (INT32 if value > 0 else -INT32)


def _cursor(raw: Any) -> Any:
    if isinstance(raw, (tuple, type(None))):
        return raw
    try:
        if len(raw) > LONGEST_CURSOR:
            raise ValueError
        keys = orjson.loads(base64.b64decode(raw, validate=True))
        if not isinstance(keys, list) or unstorable(keys, NESTING, Input.most_values):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise PydanticCustomError("cursor", "not a cursor of this list") from None
    return tuple(keys)


LONGEST_CURSOR = 4096
Cursor = Annotated[tuple[Any, ...], BeforeValidator(_cursor), ENDS]


class Paging(Input):
    """limit/offset, first/after and last/before of the same list. A bad limit or offset is never an error (contract:
    pagination).

    `last` and `before` page backwards, and cannot be combined with `first` and `after`. In a valid page, `last`
    is the page size when paging backwards, otherwise None.
    """

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 100
    cut_to_default: ClassVar[bool] = False
    """True if a size beyond the maximum gives the default instead of the maximum."""
    backwards: ClassVar[bool] = True
    """True if the list can be paged backwards; a list from a function of the database cannot."""

    limit: int = 50
    offset: int = 0
    first: int | None = None
    after: Cursor | None = None
    last: int | None = None
    before: Cursor | None = None

    @model_validator(mode="before")
    @classmethod
    def _window(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        size, backward = cls.size(raw), raw.get("last") is not None or raw.get("before") is not None
        if backward and not cls.backwards:
            raise PydanticCustomError("one_way", "this list can only be read forwards, with first and after")
        if backward and (raw.get("first") is not None or raw.get("after") is not None):
            raise PydanticCustomError("two_ways", "use first and after, or last and before")
        made = {"first": None, "last": size if backward else None, "limit": size}
        return raw | made | {"offset": max(whole(raw.get("offset")) or 0, 0)}

    @classmethod
    def size(cls, raw: dict[str, Any]) -> int:
        """The rows of a page: `first` or `last`, otherwise `limit`, otherwise the default; at most the maximum."""
        size = whole(raw.get("first")) or whole(raw.get("last")) or whole(raw.get("limit")) or 0
        if size <= 0 or (cls.cut_to_default and size > cls.page_maximum):
            return cls.page_default
        return min(size, cls.page_maximum)

    @classmethod
    def size_rule(cls) -> str:
        """Describes `size` in a sentence, for the description of the parameter `limit`."""
        if cls.cut_to_default:
            return f"At most {cls.page_maximum}; any other value means {cls.page_default}."
        return f"At most {cls.page_maximum}; a value that is not a whole number above 0 means {cls.page_default}."


class Numbered(Paging):
    """A page by its number, too: `page` and `limit` (contract: pagination). A bad number is never an error."""

    page_highest: ClassVar[int] = INT32

    page: Annotated[int, Field(ge=1, le=INT32)] = 1

    @model_validator(mode="before")
    @classmethod
    def _from_page(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        page = min(max(whole(raw.get("page")) or 1, 1), cls.page_highest)
        skipped = {} if page == 1 else {"offset": min((page - 1) * cls.size(raw), INT32)}
        return raw | {"page": page} | skipped


def validate(model: type[M], raw: Mapping[str, Any]) -> M:
    """The validated input, or BAD_REQUEST with a text for each field."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        fields = faults.told(error, raw, FORMS)
        name, text = next(iter(fields.items()))
        raise Refusal(
            Code.BAD_REQUEST,
            text if name == "input" or name in re.findall(r"\w+", text) else f"{name}: {text}",
            fields=fields,
        ) from None


FORMS = {
    SLUG: "must have lower-case letters, digits, - and _ only, and start with a letter or digit",
    EMAIL: "must be an email address",
}


_CUID = re.compile(r"^c[a-z0-9]{19,}\Z")


def is_id(value: str) -> bool:
    """Returns true if a workspace value is an id; otherwise it is a slug (contract: formats.id)."""
    return _CUID.match(value) is not None


class ById(Input):
    """A row of the workspace."""

    id: Id
