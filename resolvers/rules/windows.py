"""Periods that end now, as reports take them."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from resolvers.kernel import Text, interval

WINDOWS: Final = {"24h": interval(hours=24), "7d": interval(days=7), "30d": interval(days=30)}


def _known(window: str) -> str:
    if window not in WINDOWS:
        raise PydanticCustomError("window", "must be one of 24h, 7d and 30d")
    return window


Window = Annotated[Text, AfterValidator(_known), Field(json_schema_extra={"enum": list(WINDOWS)})]
