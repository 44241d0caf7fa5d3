"""A service with a user who can sign in, and a worker that plays parts: how tests of chats begin."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from tests.people.auth.browsers import new_user
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


async def run_of(place: World, prompt: str) -> dict[str, Any]:
    return dict(
        await place.database.fetchrow("SELECT * FROM runs WHERE prompt = $1 ORDER BY created_at DESC LIMIT 1", prompt)
    )
