"""Outputs: answers that are not rows. An operation creates the object, and both surfaces show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from resolvers.instance.store import Opened
from resolvers.kernel.ground.bounds import declared, without_secrets
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.reader.shape import Column, Constant, Shape

NOTHING: Mapping[str, Any] = MappingProxyType({})
JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


@dataclass(frozen=True, slots=True)
class Absent:
    """The key is left out while the value is null (the keys the contract marks `~`). `zero`: and while it is 0, or an
    empty list.
    """

    zero: bool = False


class Output(BaseModel):
    """Base of answers that are not rows. Times are RFC 3339 UTC with second precision."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        without_secrets(cls, declared(cls, Output))

    def plain(self) -> dict[str, Any]:
        """As on the wire: by alias, without absent keys."""
        made: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if value is None and any(isinstance(m, Absent) for m in info.metadata):
                continue
            made[info.alias or name] = to_plain(value)
        return made


def to_plain(value: Any) -> Any:
    if isinstance(value, Output):
        return value.plain()
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}
    return value


def encode(value: Any, shape: Shape | None, beside: Mapping[str, Any] = NOTHING) -> Any:
    """JSON of the whole object, or of the fields that a shape selects; files and streams are returned unchanged.
    `beside`: values that the object does not have, by the keys that the caller chose.
    """
    if isinstance(value, (Opened, Streamed)):
        return value
    return orjson.dumps(to_plain(value) if shape is None else pick(value, shape, beside), option=JSON_OPTIONS)


def pick(value: Any, shape: Shape, beside: Mapping[str, Any] = NOTHING) -> Any:
    if value is None:
        return None
    if shape.form == "list":
        inner = Shape(shape.fields)
        return [pick(v, inner) for v in value]
    made: dict[str, Any] = {}
    for item in shape.fields:
        if isinstance(item, Constant):
            made[item.key] = item.value
        elif item.key in beside:
            made[item.key] = beside[item.key]
        elif isinstance(item, Column):
            made[item.key] = to_plain(getattr(value, item.name))
        else:
            made[item.key] = pick(getattr(value, item.name or ""), item.shape)
    return made


class Deleted(Output):
    """The row was deleted."""

    id: str


class Success(Output):
    """The operation succeeded."""

    success: bool = True
