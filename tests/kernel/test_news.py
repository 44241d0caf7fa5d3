"""News of lists: one task asks for all subscribers, ends with the last one, and begins anew with the next."""

import asyncio
from typing import Any

import pytest

from resolvers.kernel.background import following
from resolvers.kernel.background.following import News
from tests.world import World

pytestmark = pytest.mark.anyio


async def _ended(news: Any) -> None:
    await asyncio.wait_for(asyncio.shield(news._task), 10)


async def test_who_comes_after_the_last_one_has_left_is_notified(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVERY", 0.01)
    news: Any = News("journal_news")
    for _ in range(2):
        with news.of(world.workspace.id) as first, news.of(world.workspace.id) as second:
            asking = news._task
            for told in (first, second):
                await asyncio.wait_for(told.wait(), 10)
            assert news._task is asking
        assert not news._waiting
        await _ended(news)


async def test_one_who_leaves_ends_nothing_for_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVERY", 0.01)
    news: Any = News("journal_news")
    with news.of(world.workspace.id) as stays:
        with news.of(world.workspace.id):
            await asyncio.wait_for(stays.wait(), 10)
        assert news._waiting == {world.workspace.id: {stays}}
        stays.clear()
        news._tell([world.workspace.id, "another"])
        assert stays.is_set()
    await _ended(news)
