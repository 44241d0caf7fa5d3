"""The console in a real browser on a running service: how its tests begin, and what they do again and again."""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from tests.people.auth.browsers import PASSWORD, new_user
from tests.process.browser import Page, browsing
from tests.process.players import hire
from tests.world import World, now, world_on

EMAIL = "ada@example.com"
PICTURES = os.environ.get("CONSOLE_PICTURES")
"""A folder for pictures of what tests see."""
PHONE = (390, 844)


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with manned(module_database, tmp_path_factory.mktemp("data")) as made:
        yield made


@contextlib.asynccontextmanager
async def manned(database: Any, path: Path, **settings: Any) -> AsyncIterator[World]:
    """A service that runs nothing by itself, and a user who can sign in."""
    async with world_on(database, path, role="api", **settings) as made:
        ada = await new_user(made, full_name="Ada Lovelace", email=EMAIL)
        here: dict[str, Any] = {"workspace_id": made.workspace.id, "user_id": ada.id}
        await made.add(Membership(role=Role.OWNER, accepted_at=now(), **here))
        await hire(made, made.owner)
        await hire(made, made.owner, "builder", "Builder")
        yield made


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browsing(tmp_path / "profile") as made:
        yield made


async def enter(page: Page, place: World, path: str = "runs", email: str = EMAIL) -> None:
    """Signs in through the page of the service, and arrives at the console."""
    await page.open(f"{place.url}/console/{place.workspace.slug}/{path}")
    await page.until("location.pathname === '/login'")
    await page.fill("#login [name=email]", email)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.until("location.pathname.startsWith('/console/')")
    await page.until("document.querySelector('main h1')")


async def go(page: Page, place: World, path: str) -> None:
    """By the address; a link of the same service loads the page anew."""
    await page.open(f"{place.url}/console/{place.workspace.slug}/{path}")


def named(text: str, within: str = "main") -> str:
    """The button or link with this text; a number beside it may follow in a line of its own."""
    found = f"[...document.querySelectorAll({json.dumps(f'{within} :is(button, a, summary)')})]"
    return f"{found}.find(one => one.innerText.trim().split('\\n')[0] === {json.dumps(text)})"


async def press(page: Page, text: str, within: str = "main") -> None:
    """Clicks it, once it can be clicked."""
    await page.until(
        f"(found => found && !found.disabled && found.offsetParent && (found.click(), true))({named(text, within)})"
    )


async def choose(page: Page, selector: str, text: str) -> None:
    """Of a list: what begins with this text, once it is there."""
    chosen, begins = json.dumps(selector), f"one => one.text.startsWith({json.dumps(text)})"
    option = f"[...document.querySelector({chosen})?.options ?? []].find({begins})"
    await page.until(option)
    await page.value(
        f"(list => {{ list.value = {option}.value; list.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
        f"(document.querySelector({chosen}))"
    )


async def give(page: Page, selector: str, value: str) -> None:
    """A list gets this value, once it offers it."""
    found = f"document.querySelector({json.dumps(selector)})"
    await page.until(f"[...{found}?.options ?? []].some(one => one.value === {json.dumps(value)})")
    await page.value(
        f"(list => {{ list.value = {json.dumps(value)}; list.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
        f"({found})"
    )


async def tab_to(page: Page, text: str) -> None:
    """By the keyboard alone, until what has this text has the focus."""
    for _ in range(60):
        if await page.value("document.activeElement?.textContent.trim()") == text:
            return
        await page.press("Tab")
    raise AssertionError(f"Tab does not reach {text}")


async def pictures(page: Page, name: str) -> None:
    """For a person's eyes: light, dark, and a phone."""
    if PICTURES is None:
        return
    folder = Path(PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        scheme = "dark" if dark else "light"
        await page.screenshot(folder / f"{name}-{scheme}.png", dark=dark)
        await page.screenshot(folder / f"{name}-{scheme}-phone.png", *PHONE, dark=dark)
    await page.look()
