"""Several agents of one crew in a group chat: who answers, in which order, what each is told, and that it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent, AgentStatus
from models.staff.chats import Chat, ChatVisibility
from models.staff.crews import Crew
from resolvers.staff.chats.group import AT_AN_END, MOST_TURNS_OF_AGENTS
from runtime.engine.background import carried
from runtime.engine.service import Runtime
from runtime.runs.job import Job, Outcome, Sink
from tests.people.recovery.mailbox import QUICK
from tests.runtime.doubles import Wardrobe, says
from tests.runtime.estate import Estate

pytestmark = pytest.mark.anyio
UNDER_WAY = """
    SELECT (SELECT count(*) FROM dbos.workflow_status
            WHERE status IN ('ENQUEUED', 'PENDING') AND name = 'chats.pass_on')
        + (SELECT count(*) FROM runs WHERE chat_id = $1 AND status = 'RUNNING')
"""
"""In one statement: the end of a run enqueues the job that starts the next."""


class Players:
    """What each agent answers with, and what it was told."""

    def __init__(self, **replies: str) -> None:
        self.replies, self.told, self.holds = replies, list[Job](), asyncio.Event()
        self.holds.set()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        self.told.append(job)
        await self.holds.wait()
        await says(sink, self.replies[job.agent.slug.partition("-")[0]].format(mark=job.agent.slug.partition("-")[2]))
        return Outcome()

    @property
    def spoke(self) -> list[str]:
        return [job.agent.slug.partition("-")[0] for job in self.told]


@contextlib.asynccontextmanager
async def playing(estate: Estate, players: Players) -> AsyncIterator[None]:
    runtime = Runtime(estate.settings, Wardrobe(players), jobs=carried(), rhythm=QUICK)
    await runtime.start()
    try:
        yield
    finally:
        await runtime.stop()


async def crew_of(estate: Estate, *names: str) -> tuple[str, list[Agent], Chat]:
    """The mark of their slugs, agents of one crew, and a group chat with the first of them."""
    mark = new_id()[-8:]
    crew = Crew(workspace_id=estate.workspace.id, name="Deck", slug=f"deck-{mark}")
    await estate.add(crew)
    agents = [await estate.agent(slug=f"{name}-{mark}", crew_id=crew.id) for name in names]
    return mark, agents, await estate.chat(agents[0], visibility=ChatVisibility.group, created_by=estate.user_id)


async def over(estate: Estate, chat: Chat) -> None:
    """Nobody speaks, and nobody will."""
    async with asyncio.timeout(60):
        while await estate.owner.fetchval(UNDER_WAY, chat.id):
            await asyncio.sleep(0.02)


async def said(estate: Estate, chat: Chat) -> list[str]:
    return [message["content"] for message in await estate.messages(chat.id)]


@pytest.mark.slow
async def test_those_who_are_mentioned_answer_in_turn_and_hear_each_other(estate: Estate) -> None:
    mark, [mate, cook, _], chat = await crew_of(estate, "mate", "cook", "boy")
    players = Players(mate="Aye", cook="Soup", boy="Me")
    text = f"@cook-{mark} and @mate-{mark}: what now? (not boy-{mark}, nor x@boy-{mark})"
    async with playing(estate, players):
        await estate.ask(text, chat)
        await over(estate, chat)
    assert players.spoke == ["cook", "mate"]
    assert await said(estate, chat) == [text, "Soup", "Aye"]
    first, second = players.told
    assert (first.prompt, first.history) == (text, ())
    assert [(turn.role, turn.content) for turn in second.history] == [
        ("user", text), ("user", f"@cook-{mark} wrote:\nSoup"),
    ]  # fmt: skip
    assert second.prompt == text
    begun = [frame for frame in await estate.frames(chat.id) if frame["type"] == "run_begin"]
    assert [(frame["agent_id"], frame["agent_slug"]) for frame in begun] == [(a.id, a.slug) for a in (cook, mate)]
    messages = await estate.messages(chat.id)
    assert [message["agent_id"] for message in messages[1:]] == [cook.id, mate.id]
    assert (await estate.stored_chat(chat.id)).message_count == len(messages)
    assert (await estate.answer(chat.id))[-1]["type"] == "done"


@pytest.mark.slow
async def test_an_agent_asks_another_by_its_reply(estate: Estate) -> None:
    mark, _, chat = await crew_of(estate, "mate", "cook")
    players = Players(mate="Ask @cook-{mark}!", cook="Soup")
    async with playing(estate, players):
        await estate.ask(f"@mate-{mark} what is there?", chat)
        await over(estate, chat)
        assert players.spoke == ["mate", "cook"]
        assert players.told[1].prompt == f"@mate-{mark} wrote:\nAsk @cook-{mark}!"
        await estate.say(estate.caller, chat.id, "Thank you all")
        await over(estate, chat)
    assert players.spoke == ["mate", "cook"], "nobody was mentioned"


@pytest.mark.slow
async def test_agents_that_mention_each_other_end(estate: Estate) -> None:
    mark, _, chat = await crew_of(estate, "mate", "cook")
    players = Players(mate="@cook-{mark} your turn", cook="@mate-{mark} yours")
    async with playing(estate, players):
        await estate.ask(f"@mate-{mark} begin", chat)
        await over(estate, chat)
    assert players.spoke == ["mate", "cook"] * (MOST_TURNS_OF_AGENTS // 2)
    told = await estate.answer(chat.id)
    assert [frame["content"] for frame in told if frame["type"] == "system"] == [AT_AN_END]


async def test_a_cancelled_run_ends_the_turns_of_all(estate: Estate) -> None:
    mark, _, chat = await crew_of(estate, "mate", "cook")
    players = Players(mate="@cook-{mark} go on", cook="Soup")
    players.holds.clear()
    async with playing(estate, players):
        run = await estate.ask(f"@mate-{mark} @cook-{mark} begin", chat)
        async with asyncio.timeout(30):
            while not players.told:
                await asyncio.sleep(0.01)
        await estate.cancel(chat.id)
        assert (await estate.ended(run.id)).status == "CANCELLED"
        players.holds.set()
        await over(estate, chat)
    assert players.spoke == ["mate"]


async def test_who_cannot_work_or_is_of_another_crew_is_passed_over(estate: Estate) -> None:
    mark, [_, cook, _], chat = await crew_of(estate, "mate", "cook", "boy")
    stranger = await estate.agent(slug=f"stranger-{mark}")
    await estate.owner.execute("UPDATE agents SET status = $2 WHERE id = $1", cook.id, AgentStatus.PENDING_REVIEW.value)
    players = Players(mate="Aye", boy="Me", cook="No", stranger="No")
    async with playing(estate, players):
        await estate.ask(f"@mate-{mark} @cook-{mark} @{stranger.slug} @boy-{mark}", chat)
        await over(estate, chat)
        await estate.say(estate.caller, chat.id, f"@{stranger.slug}?")
        await over(estate, chat)
    assert players.spoke == ["mate", "boy"]


async def test_in_a_private_chat_its_agent_alone_answers(estate: Estate) -> None:
    mark, [mate, _], _ = await crew_of(estate, "mate", "cook")
    chat: Any = await estate.chat(mate, created_by=estate.user_id)
    players = Players(mate="@cook-{mark} knows", cook="Soup")
    async with playing(estate, players):
        await estate.ask(f"@cook-{mark}?", chat)
        await over(estate, chat)
    assert players.spoke == ["mate"]
