"""The stages that issues pass through: their parsing and writing as a list."""

import re
from enum import StrEnum
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from resolvers.kernel import ConfigText
from resolvers.kernel.ground.inputs import INT32

HEX = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
NO_COLOR = "must be a color such as #3b82f6 or #abc"


class StageType(StrEnum):
    open = "open"
    started = "started"
    completed = "completed"
    cancelled = "cancelled"


class Stage(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(strict=True, pattern=r"\S")]
    type: StageType
    position: Annotated[int, Field(strict=True, ge=1, le=INT32)]
    color: Annotated[str, Field(strict=True, pattern=rf"^({HEX.pattern})?$")] | None = None

    def written(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"name": self.name, "type": self.type.value, "position": self.position}
        return plain | ({"color": self.color} if self.color else {})


_LIST = TypeAdapter(list[Stage])


def _fault(said: str) -> PydanticCustomError:
    return PydanticCustomError("stages", "{said}", {"said": said})


def _canonical(text: str) -> str:
    """The contract's form (extras, behaviour.stages): compact, four keys in one order, no empty color."""
    try:
        stages = _LIST.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _fault(f"is no list of stages: {where + ': ' if where else ''}{first['msg']}") from None
    types = [stage.type for stage in stages]
    for column in ("name", "position"):
        if len({getattr(stage, column) for stage in stages}) < len(stages):
            raise _fault(f"has two stages of one {column}")
    if types.count(StageType.open) != 1:
        raise _fault("must have exactly one stage of the type open")
    if StageType.completed not in types:
        raise _fault("must have a stage of the type completed")
    return orjson.dumps([stage.written() for stage in stages]).decode()


def _is_color(text: str) -> str:
    if text and not HEX.fullmatch(text):
        raise PydanticCustomError("color", NO_COLOR)
    return text


Stages = Annotated[ConfigText, AfterValidator(_canonical)]
"""JSON text of a list of stages."""
HexColor = AfterValidator(_is_color)
"""For a text that is a color, or empty."""
