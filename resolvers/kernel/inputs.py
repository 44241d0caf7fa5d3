"""What an operation accepts: validated once, here, for both surfaces."""

import base64
import binascii
import re
import types
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, LiteralString, TypeVar, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from resolvers.kernel.errors import Code, Refusal

M = TypeVar("M", bound=BaseModel)
BODY = "Invalid JSON body"
INT32 = 2**31 - 1
SLUG = r"^[a-z0-9][a-z0-9_-]*$"
EMAIL = r"^[a-zA-Z0-9._%+\-]+@[a-zA-Z0-9.\-]+\.[a-zA-Z]{2,}$"
NESTING = 100  # levels of a JSON value; what writes JSON gives up at 254, and recursion before 1000


class Input(BaseModel):
    """Base of inputs. A null for a field that cannot be null counts as absent (contract: requests.null_values)."""

    model_config = ConfigDict(extra="ignore")

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
            if not plain and (fault := unstorable(value)) is not None:
                raise PydanticCustomError("unstorable", fault, {"field": name})
            kept[name] = value
        return kept

    def changes(self, *without: str) -> dict[str, Any]:
        """Only what the caller sent: the body of a PATCH."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set and name not in without}


class NoInput(Input):
    """For operations that take nothing."""


def unstorable(value: Any) -> LiteralString | None:
    """Why a value cannot be stored: PostgreSQL takes no NUL, in text and in JSON, and nothing goes down endless levels."""
    level = [value]
    for _ in range(NESTING):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if "\0" in item:
                    return "a NUL character cannot be stored"
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item
                below += item.values()
        if not below:
            return None
        level = below
    return "is nested too deeply"


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


# Numbers and booleans of a JSON body are taken as they are written: "5" is not 5.
Int = Annotated[int, Field(strict=True, ge=-INT32 - 1, le=INT32)]
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Bool = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]
Slug = Annotated[str, Field(pattern=SLUG, min_length=2, max_length=50)]
Email = Annotated[str, Field(pattern=EMAIL, max_length=320)]


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
        keys = orjson.loads(base64.b64decode(raw, validate=True))
        if not isinstance(keys, list) or unstorable(keys):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise PydanticCustomError("cursor", "not a cursor of this list") from None
    return tuple(keys)


Cursor = Annotated[tuple[Any, ...], BeforeValidator(_cursor)]


class Paging(Input):
    """limit/offset and first/after of the same list. A bad limit or offset is never an error (contract: pagination)."""

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 100

    limit: int = 50
    offset: int = 0
    first: int | None = None
    after: Cursor | None = None

    @model_validator(mode="before")
    @classmethod
    def _window(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            return raw | {"first": None, "limit": cls.size(raw), "offset": max(whole(raw.get("offset")) or 0, 0)}
        return raw

    @classmethod
    def size(cls, raw: dict[str, Any]) -> int:
        """How many rows a page holds: `first`, else `limit`, else the default; at most the maximum."""
        size = whole(raw.get("first")) or whole(raw.get("limit")) or 0
        return cls.page_default if size <= 0 else min(size, cls.page_maximum)

    @classmethod
    def size_rule(cls) -> str:
        """`size` in a sentence, for whoever reads of the parameter `limit`."""
        return f"At most {cls.page_maximum}; without a whole number above 0, {cls.page_default}."


def validate(model: type[M], raw: dict[str, Any]) -> M:
    """The validated input, or BAD_REQUEST with a text for each field."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        fields: dict[str, str] = {}
        for fault in error.errors(include_url=False, include_input=False):
            context = fault.get("ctx", {})
            fields.setdefault(".".join(map(str, fault["loc"])) or context.get("field", "input"), _worded(fault["type"], context) or fault["msg"])
        name, text = next(iter(fields.items()))
        raise Refusal(Code.BAD_REQUEST, text if name == "input" or name in re.findall(r"\w+", text) else f"{name}: {text}", fields=fields) from None


FAULTS = {
    "missing": "is required",
    "string_type": "takes a text",
    "int_type": "takes a whole number",
    "float_type": "takes a number",
    "finite_number": "takes a finite number",
    "bool_type": "takes true or false",
    "list_type": "takes a list",
    "dict_type": "takes an object",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
}
FORMS = {
    SLUG: "may hold lower-case letters, digits, - and _, and starts with a letter or digit",
    EMAIL: "must be an email address",
}


def _worded(kind: str, context: dict[str, Any]) -> str | None:
    """A fault as one says it; None where the validator's own words are good."""
    if kind == "string_pattern_mismatch":
        return FORMS.get(context.get("pattern", ""))
    if kind == "string_too_short" and context.get("min_length") == 1:
        return "must not be empty"
    words = FAULTS.get(kind)
    return None if words is None else words.format_map(context)


_CUID = re.compile(r"^c[a-z0-9]{19,}\Z")


def is_id(value: str) -> bool:
    """Whether a workspace value is an id; anything else is a slug (contract: formats.id)."""
    return _CUID.match(value) is not None


class ById(Input):
    """One row of the workspace."""

    id: Text
