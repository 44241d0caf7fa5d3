"""Evaluates expressions in a process of its own, so that a hostile one costs no more than its time and memory.

The library cannot be interrupted and bounds no memory: 28 doublings of a text take gigabytes. The process starts with
the first expression, is ended by a time-out, and starts anew with the next one.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from models.work.routines.expressions import LONGEST, Kind

SECONDS: Final = 2.0
"""The time for one evaluation."""
STARTING: Final = 20.0
MEMORY: Final = 768 << 20
"""Address space of the process, most of which is the library and no memory."""
MOST_VARIABLES: Final = 8 << 20
MOST_RESULT: Final = 1 << 20
_LINE: Final = 16 << 20
_CHILD: Final = Path(__file__).with_name("evaluation_child.py")


class ExpressionError(ValueError):
    """An expression that has no value."""


class Evaluator:
    """One process, one expression at a time. Belongs to the event loop that uses it first."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def evaluate(self, expression: str, kind: Kind, variables: Mapping[str, Any]) -> Any:
        """The value as JSON has it; numbers in maps are doubles. Raises ExpressionError."""
        if len(expression.encode(errors="replace")) > LONGEST:
            raise ExpressionError(f"an expression has at most {LONGEST} bytes")
        try:
            asked = json.dumps([expression, kind.variables, variables], allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise ExpressionError("the variables are no JSON") from None
        if len(asked) > MOST_VARIABLES:
            raise ExpressionError(f"the variables have more than {MOST_VARIABLES} bytes")
        async with self._turn:
            answer = await self._ask(asked)
        if "error" in answer:
            raise ExpressionError(answer["error"])
        return answer["value"]

    async def close(self) -> None:
        async with self._turn:
            await self._end()

    async def _ask(self, asked: bytes) -> Any:
        try:
            child = self._child
            if child is None:
                child = await asyncio.wait_for(self._start(), STARTING)
            async with asyncio.timeout(SECONDS):
                return await _exchange(child, asked)
        except (TimeoutError, OSError, ValueError) as error:
            await self._end()
            reason = "takes too long" if isinstance(error, TimeoutError) else "takes too much memory"
            raise ExpressionError(f"the expression {reason}") from None
        except BaseException:  # cancelled: the answer to this would be taken for that of the next
            await self._end()
            raise

    async def _start(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(_CHILD), str(MEMORY), str(MOST_RESULT),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE, env={},
        )  # fmt: skip
        self._child = child
        await _exchange(child, b"null")
        return child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()


async def _exchange(child: asyncio.subprocess.Process, asked: bytes) -> Any:
    """Raises ValueError and OSError if the process has ended."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(asked + b"\n")
    await child.stdin.drain()
    return json.loads(await child.stdout.readline())
