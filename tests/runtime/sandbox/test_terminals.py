"""The terminal of a program: what it shows until its end."""

import asyncio
import os
from typing import Any

import pytest

from runtime.sandbox import terminal
from runtime.sandbox.terminal import Terminal

pytestmark = pytest.mark.anyio


async def _looks_never(_: int) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("last", [[b"exit"], [b"exit", b"x" * 3000], []], ids=["a word", "more", "nothing"])
async def test_what_a_program_writes_last_is_shown(last: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop learns of the end before it has looked at the terminal again."""
    monkeypatch.setattr(terminal, "ready", _looks_never)
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ended() -> Any:
        return await ending

    shown = Terminal(ours, ended())
    try:
        reading = asyncio.ensure_future(shown.read())
        await asyncio.sleep(0.01)
        for piece in last:
            os.write(theirs, piece)
        ending.set_result("")
        said = b""
        async with asyncio.timeout(5):
            piece = await reading
            while piece:
                said += piece
                piece = await shown.read()
        assert said == b"".join(last)
    finally:
        await shown.close()
        os.close(ours)
        os.close(theirs)
