"""What a worker that may be killed does with coding agents: runs of several rounds, in the real sandbox."""

import asyncio
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from resolvers.kernel.store.database import database
from runtime.coding.installed import Installed
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from tests.runtime.coding.conftest import KEY, showing_python
from tests.world import settings_for


def _of_others(given: dict[str, Any]) -> dict[str, Any]:
    """Where one server speaks as all vendors do."""
    if "key" not in given:
        return {}
    key = SecretStr(given["key"])
    addresses = {"openai_base_url": f"{given['model']}/v1", "gemini_base_url": given["model"]}
    return {**addresses, "openai_api_key": key, "gemini_api_key": key}


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    if given["doubles"]:
        Installed.__init__ = showing_python(Installed.__init__)  # type: ignore[method-assign]
    settings = settings_for(
        given["url"],
        Path(given["directory"]),
        max_concurrent_runs=given["slots"],
        run_adapter="cli",
        coding_agents=Path(given["folder"]),
        anthropic_base_url=given["model"],
        anthropic_api_key=SecretStr(given.get("key", KEY)),
        **_of_others(given),
    )
    start(settings, Passwords(Cost(1, 64, 1)))
    await database.open(given["url"], size=6)
    runtime = Runtime(settings, timing=Timing(**given["timing"]))
    await runtime.start()
    await asyncio.Event().wait()
