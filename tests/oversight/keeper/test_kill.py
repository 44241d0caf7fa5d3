"""kill -9 of a server while it runs a command with a secret: it was never allowed, and nothing is left of it."""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from resolvers.kernel import across_workspaces
from resolvers.oversight.keeper.requests import enqueue_overdue
from tests.conftest import Database
from tests.faults.servers import KEYS, PATIENCE, addresses
from tests.oversight.keeper.conftest import EXECUTE, INTENT, SECRET, TOKEN, Ship, verdict
from tests.people.recovery.mailbox import delivering, idle
from tests.process.commands import environment, serving
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SAID = orjson.dumps({"message": {"content": verdict("ALLOW")}, "prompt_eval_count": 9, "eval_count": 5})
VARIABLE = f"K_{secrets.token_hex(5)}".upper()
"""No other run of tests on this machine has it."""
LEFT = ("keeper_requests", "events", "journal_entries", "credential_events", "inbox_items")


@contextlib.asynccontextmanager
async def judge() -> AsyncIterator[str]:
    """A model's server that always says yes; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-le"))
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(SAID), SAID))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def with_the_secret() -> set[str]:
    """The commands that run with it."""
    found = set[str]()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and VARIABLE in (process / "environ").read_bytes().decode():
                found.add((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


async def until(holds: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_command_ends_with_its_server_and_is_denied(
    ship: Ship, world: World, module_database: Database, tmp_path: Path
) -> None:
    asked = {
        "workspace_id": world.workspace.id, "requesting_agent_id": ship.agent.id, "requesting_crew_id": ship.crew.id,
        "credential_id": ship.credentials["mid"].id, "intent": INTENT, "command": "sleep 50",
        "container_id": ship.crew.id, "env_var": VARIABLE,
    }  # fmt: skip
    async with judge() as model, contextlib.AsyncExitStack() as stack:
        own = {"KEEPER_ENABLED": "true", "KEEPER_MODEL": "judge", "KEEPER_OLLAMA_URL": model}
        own |= {"CREWSHIP_INTERNAL_TOKEN": TOKEN["X-Internal-Token"], "CREWSHIP_RUN_ADAPTER": "scripted"}
        env = environment(tmp_path, **KEYS, **addresses(module_database), **own)
        served = await asyncio.to_thread(stack.enter_context, serving(env=env))
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=PATIENCE))
        url = f"http://127.0.0.1:{served.port}{EXECUTE}"
        answer = asyncio.create_task(client.post(url, json=asked, headers=TOKEN))
        await until(lambda: answer.done() or any("sleep" in command for command in with_the_secret()))
        assert not answer.done(), answer.result().text
        await asyncio.to_thread(served.end, signal.SIGKILL)
        with pytest.raises(httpx2.HTTPError):
            await answer
    await until(lambda: not with_the_secret())
    (row,) = await world.database.fetch("SELECT * FROM keeper_requests")
    assert (row["decision"], row["exit_code"]) == ("PENDING", None)
    await world.database.execute("UPDATE keeper_requests SET created_at = now() - interval '4 minutes'")
    await across_workspaces(enqueue_overdue)
    async with delivering(world):
        await idle(world)
    denied = await ship.row(row["id"])
    assert (denied["decision"], denied["risk_score"], denied["exit_code"]) == ("DENY", 10, None)
    left = [str([dict(row) for row in await world.database.fetch(f"SELECT * FROM {table}")]) for table in LEFT]
    assert SECRET not in str(left)
    assert await world.database.fetchval("SELECT count(*) FROM credential_events") == 0
