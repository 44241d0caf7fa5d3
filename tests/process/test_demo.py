"""`crewship demo`: from nothing to a conversation, and again from what the first start has left."""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx2
import pytest

from crewship.cli.client import Unreachable
from crewship.cli.demo import persistently
from crewship.cli.profiles import ClientError
from runtime.adapters import local_model
from tests.process.browser import CHROMIUM, browsing
from tests.process.commands import PATIENCE, ROOT, migrated
from tests.process.terminals import Terminal, terminal

pytestmark = pytest.mark.anyio
DEMO = (sys.executable, "-m", "crewship", "demo")


@pytest.fixture
def directory() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield parent / "demo"
    shutil.rmtree(parent)


def environment(**variables: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "CREWSHIP_RUN_ADAPTER": "scripted",
        **variables,
    }


def running(directory: Path, **variables: str) -> AbstractAsyncContextManager[Terminal]:
    return terminal(*DEMO, "--data-dir", str(directory), "--port", "0", env=environment(**variables), columns=60)


def told(shown: Terminal) -> dict[str, str]:
    return dict(re.findall(r"^  (In the browser|Email|Password|API token) +(\S+)$", shown.text, re.MULTILINE))


async def ready(shown: Terminal) -> dict[str, str]:
    await shown.see("Ctrl-C stops the demo.")
    return told(shown)


async def out_of(command: list[str], **variables: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(**variables), cwd="/", stdout=-1, stderr=-1, stdin=-3
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def begun(directory: Path) -> Path:
    """A directory that has its database, and nobody in it."""
    return migrated(directory)


@pytest.mark.slow
async def test_from_nothing_to_a_conversation_and_again(directory: Path) -> None:
    elsewhere = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "CREWSHIP_DATA_DIR": "/nowhere",
        "OPENAI_API_KEY": "sk-of-the-user",
        "CREWSHIP_PORT": "x",
    }
    async with running(directory, **elsewhere) as shown:  # what is meant for another server does not count
        first = await ready(shown)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#agent=scout", first["In the browser"])
        assert "setup_token" not in shown.text  # of what is set up already
        command = re.search(r"^  (\S.* chat scout .*)$", shown.text, re.MULTILINE)
        assert command is not None
        code, out, err = await out_of([*shlex.split(command[1]), "good morning"])
        assert (code, out) == (0, "Scout: good morning\n"), err
        shown.type("\x03")
        assert await shown.end() == 0
        assert shown.text.endswith("The demo has stopped.\n")
        assert shown.raw.count("\x1b[?25l") <= shown.raw.count("\x1b[?25h")  # the cursor is back
    for secret in ("demo.json", "profile"):
        assert stat.S_IMODE((directory / secret).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert first["Password"] not in (directory / "profile").read_text()
    async with running(directory) as shown:
        again = await ready(shown)
        assert {name: again[name] for name in ("Email", "Password", "API token")} == {
            name: first[name] for name in ("Email", "Password", "API token")
        }
        origin = again["In the browser"].partition("/#")[0]
        ask = {
            "query": (
                "{ viewer { email workspaces { name crews { nodes { name } }"
                " agents { nodes { slug } } chats { nodes { title } } } } }"
            )
        }
        async with httpx2.AsyncClient(
            base_url=origin, headers={"authorization": f"Bearer {again['API token']}"}
        ) as client:
            found = (await client.post("/graphql", json=ask)).json()["data"]["viewer"]
        place = {
            "name": "Demo",
            "crews": {"nodes": [{"name": "Demo"}]},
            "agents": {"nodes": [{"slug": "scout"}]},
            "chats": {"nodes": [{"title": "good morning"}]},
        }
        assert found == {"email": again["Email"], "workspaces": [place]}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.slow
async def test_the_browser_and_the_terminal_are_in_one_conversation(begun: Path) -> None:
    async with running(begun) as shown, browsing(begun.parent / "profile") as page:
        found = await ready(shown)
        await page.look()
        await page.open(found["In the browser"])
        await page.fill("#login [name=email]", found["Email"])
        await page.fill("#login [name=password]", found["Password"])
        await page.press("Enter")
        await page.until("location.pathname.startsWith('/console/')")
        await page.click("nav ul a[href$='/chat']")
        await page.click("main a[href$='agent=scout']")
        await page.until("document.activeElement === document.querySelector('form textarea')")
        await page.fill("form textarea", "from the browser")
        await page.press("Enter")
        await page.see("Scout: from the browser", "[role=log]")
        async with terminal(
            sys.executable,
            "-m",
            "crewship",
            "chat",
            "scout",
            "--profile",
            str(begun / "profile"),
            env=environment(),
        ) as chat:
            await chat.see("Continuing “from the browser”")
            await chat.see("you> ")
            chat.type("from the terminal\r")
            await chat.see("scout> Scout: from the terminal")
            await page.see("Scout: from the terminal", "[role=log]")
            await chat.see("you> ", 2)
            await page.fill("form textarea", "once more")
            await page.press("Enter")
            await page.until("document.querySelectorAll('[role=log] > ol > li[data-state=done]').length === 6")
            chat.type("and out\r")
            await chat.see("Demo Owner> once more\nscout> Scout: once more\n")
            await chat.see("scout> Scout: and out")
        await page.until("document.querySelectorAll('[role=log] > ol > li[data-state=done]').length === 8")
        said = await page.value("[...document.querySelectorAll('[role=log] .parts')].map(said => said.innerText)")
        assert said[::2] == ["from the browser", "from the terminal", "once more", "and out"]
        assert said[1::2] == [f"Scout: {message}" for message in said[::2]]
        assert page.complaints == []


@pytest.mark.slow
async def test_a_start_that_was_broken_off_is_gone_on_with(begun: Path) -> None:
    async with running(begun) as shown:
        first = await ready(shown)
    kept = json.loads((begun / "demo.json").read_text())
    # as if the owner had been made, and no more
    (begun / "demo.json").write_text(json.dumps(kept | {"token": None}))
    (begun / "profile").unlink()
    async with running(begun) as shown:
        second = await ready(shown)
    assert second["Password"] == first["Password"]
    assert second["API token"] != first["API token"]
    assert second["API token"] in (begun / "profile").read_text()


@pytest.mark.slow
async def test_a_taken_port_is_left_to_whoever_has_it(begun: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with terminal(*DEMO, "--data-dir", str(begun), "--port", str(port), env=environment()) as shown:
            found = await ready(shown)
            assert f"Port {port} is in use; using another port." in shown.text
            assert f":{port}/" not in found["In the browser"]


@pytest.mark.slow
async def test_the_port_of_the_environment_is_taken_unless_another_is_given(begun: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    async with terminal(*DEMO, "--data-dir", str(begun), env=environment(CREWSHIP_PORT=str(port))) as shown:
        assert f":{port}/" in (await ready(shown))["In the browser"]
    code, out, err = await out_of([*DEMO, "--data-dir", str(begun)], CREWSHIP_PORT="http")
    assert (code, out) == (1, "")
    assert err.startswith("crewship: CREWSHIP_PORT is 'http', but takes a port number")


async def test_a_request_without_an_answer_is_made_again() -> None:
    made: list[int] = []

    async def work() -> str:
        made.append(1)
        if len(made) < 3:
            raise Unreachable("busy")
        return "done"

    assert (await persistently(work), len(made)) == ("done", 3)
    made.clear()
    with pytest.raises(Unreachable):
        await persistently(work, patience=-1)

    async def refused() -> None:
        made.append(1)
        raise ClientError("no")

    made.clear()
    with pytest.raises(ClientError):
        await persistently(refused)
    assert len(made) == 1


@pytest.mark.slow
async def test_the_users_of_another_server_are_left_alone(begun: Path) -> None:
    async with running(begun) as shown:
        await ready(shown)
    (begun / "demo.json").unlink()
    code, out, err = await out_of([*DEMO, "--data-dir", str(begun), "--port", "0"])
    assert code == 1
    assert (
        f"crewship: {begun} has users that the demo did not create; "
        "remove it, or name another directory with --data-dir" in err
    )
    assert "\x1b" not in out  # plain lines where nobody watches
    assert out.startswith("✓ The service answers at http://127.0.0.1:")
    assert not (begun / "pg/18" / "postmaster.pid").exists()


@pytest.mark.skipif(not local_model.installed(), reason="needs the extra demo")
@pytest.mark.slow
async def test_the_model_answers(begun: Path) -> None:
    async with terminal(
        *DEMO, "--data-dir", str(begun), "--port", "0", env=environment(CREWSHIP_RUN_ADAPTER="")
    ) as shown:
        await ready(shown)
        assert f"The model {local_model.MODEL} is loaded" in shown.text
        profile = str(begun / "profile")
        code, out, err = await out_of(
            [sys.executable, "-m", "crewship", "chat", "scout", "What is the capital of France?", "--profile", profile]
        )
        assert (code, "Paris" in out) == (0, True), out
        assert re.search(r"\d+ in, \d+ out tokens", err)
