"""The printed link in a real browser, under a name that anybody could have: only with it is the first user made."""

import asyncio
import contextlib
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import websockets

from crewship.process.app import create_app
from crewship.process.serve import bootstrap_notice
from resolvers.instance.passwords import Cost, Passwords
from tests.conftest import Database
from tests.world import serving, settings_for

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

NAME = "crewship.example.com"
FILL_IN = """
(async () => {
  const until = async (happens) => { while (!happens()) await new Promise((next) => setTimeout(next, 20)); };
  const field = (name) => document.querySelector(`[name=${name}]`);
  await until(() => field("fullName"));
  const given = {fullName: "Ada Lovelace", email: "ada@example.com", password: "correct horse"};
  for (const [name, value] of Object.entries(given)) {
    field(name).value = value;
    field(name).dispatchEvent(new Event("input", {bubbles: true}));
  }
  field("email").form.requestSubmit();
  const shown = () => document.querySelector("main code") ?? document.querySelector("[role=alert]");
  const said = () => shown()?.textContent.trim();
  await until(said);
  return said();
})()
"""


@contextlib.asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[str]:
    """Where a running Chromium is controlled."""
    assert CHROMIUM is not None
    command = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    command += [
        f"--user-data-dir={directory}",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--remote-debugging-port=0",
    ]
    process = await asyncio.create_subprocess_exec(CHROMIUM, *command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        while (
            found := re.search(rb"DevTools listening on ws://([\d.:]+)/", line := await process.stderr.readline())
        ) is None:
            assert line, "Chromium ended"
        yield f"http://{found[1].decode()}"
    finally:
        process.terminate()
        await process.communicate()


async def evaluate(control: str, url: str, script: str) -> Any:
    """What a script says in a page of its own."""
    async with httpx2.AsyncClient(verify=False) as client:
        page = (await client.put(f"{control}/json/new?about:blank")).json()["webSocketDebuggerUrl"]
    async with websockets.connect(page) as socket:
        numbers = itertools.count(1)

        async def call(method: str, **parameters: Any) -> Any:
            number = next(numbers)
            await socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while (answer := json.loads(await socket.recv())).get("id") != number:
                pass
            return answer["result"]

        await call("Page.enable")
        await call("Page.navigate", url=url)
        while json.loads(await socket.recv()).get("method") != "Page.loadEventFired":
            pass
        return (await call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True))["result"][
            "value"
        ]


async def test_the_printed_link_makes_the_first_user(database: Database, tmp_path: Path) -> None:
    settings = settings_for(database.url, tmp_path / "data")
    async with (
        serving(create_app(settings, passwords=Passwords(Cost(1, 64, 1)))) as url,
        browser(tmp_path / "profile") as control,
        asyncio.timeout(60),
    ):
        named = url.replace("127.0.0.1", NAME)
        link = (await bootstrap_notice(settings, database.url, named) or "").rsplit(" ", 1)[1]
        assert "one-time link" in await evaluate(control, f"{named}/welcome", FILL_IN)
        wizard = link.replace("/#", "/welcome#")
        assert re.fullmatch("crewship_cli_[0-9a-f]{64}", await evaluate(control, wizard, FILL_IN))
    connection = await asyncpg.connect(database.owner_url)
    try:
        assert await connection.fetchval("SELECT array_agg(email) FROM users") == ["ada@example.com"]
    finally:
        await connection.close()
