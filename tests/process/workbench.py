"""The page at `/`, opened by a user who is signed in: how tests of it begin, and what they do again and again."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from tests.people.auth.browsers import PASSWORD, new_user
from tests.process.browser import Page, browsing
from tests.process.players import Player, hire, playing
from tests.world import World, now, world_on

EMAIL = "ada@example.com"
SEND = "mutation ($chat: ID!, $text: String!) { sendMessage(input: { chatId: $chat, content: $text }) { runId } }"


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """A service that works on no run by itself, and a user who can sign in."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api") as made:
        ada = await new_user(made, full_name="Ada Lovelace", email=EMAIL)
        await made.add(Membership(workspace_id=made.workspace.id, user_id=ada.id, role=Role.OWNER, accepted_at=now()))
        await hire(made, made.owner)
        await hire(made, made.owner, "builder", "Builder")
        yield made


@pytest.fixture
async def player(place: World) -> AsyncIterator[Player]:
    async with playing(place) as made:
        yield made


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browsing(tmp_path / "profile") as made:
        yield made


async def sign_in(page: Page, url: str, fragment: str = "") -> None:
    await page.open(f"{url}/{fragment}")
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.see("Builder", "#crews")
    await page.until("document.querySelector('#chat-title').innerText === 'Scout'")


async def say(page: Page, message: str) -> None:
    await page.until("!document.querySelector('#send').hidden")
    await page.fill("#message", message)
    await page.press("Enter")


async def new_chat(page: Page) -> None:
    await page.click("#new-chat")
    await page.until("document.querySelector('#turns').children.length === 0")


async def answered(page: Page, message: str) -> str:
    """The whole turn of the agent behind a message, once it is done."""
    turns = "[...document.querySelectorAll('#turns > li')]"
    at = (
        f"{turns}.findLastIndex(turn => turn.matches('.by-user')"
        f" && turn.querySelector('.parts').textContent === {json.dumps(message)})"
    )
    await page.until(f"{at} >= 0 && {turns}[{at} + 1]?.dataset.state === 'done'")
    return str(await page.value(f"{turns}[{at} + 1].querySelector('.parts').textContent"))


async def run_of(place: World, prompt: str) -> dict[str, Any]:
    return dict(
        await place.database.fetchrow("SELECT * FROM runs WHERE prompt = $1 ORDER BY created_at DESC LIMIT 1", prompt)
    )
