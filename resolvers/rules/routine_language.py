"""The JSON Schema of the language of routines, which a process loads when a client asks for it."""

import asyncio
from functools import cache
from typing import Any, Final

DSL_VERSION: Final = "1.0"


async def routine_language() -> dict[str, Any]:
    """The schema. The first call makes it, in a thread: that takes tenths of a second."""
    return await asyncio.to_thread(_made)


@cache
def _made() -> dict[str, Any]:
    from models.work.routines.json_schema import json_schema

    return json_schema()
