"""A message and its answer, on every PostgreSQL: by the runtime, with its record."""

from pathlib import Path
from typing import Any

import pytest

from runtime.engine.service import Runtime
from tests.runtime.doubles import Wardrobe, speaks
from tests.runtime.estate import estate_on

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]


async def test_a_message_is_answered(database: Any, tmp_path: Path) -> None:
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings, Wardrobe(speaks))
        await runtime.start()
        run = await estate.ask()
        assert (await estate.ended(run.id)).status == "COMPLETED"
        assert [m["content"] for m in await estate.messages(str(run.chat_id))] == ["hello", "hello there"]
        await runtime.stop()
