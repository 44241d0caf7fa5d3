"""Group chats: several agents of one crew, who answer when they are mentioned, one after the other.

In a group chat `@slug` addresses any agent of the crew of the chat's agent. Users address several at once, in the order
of their mentions; an agent addresses others in its reply. Agents without a mention do not answer (contract:
chats.behaviour 4).
"""

import re
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import col

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatVisibility, Message, MessageRole
from models.staff.crews import Crew
from models.staff.runs import ChatEventType, Run, RunStatus
from resolvers.kernel import Context, Topic
from resolvers.staff.chats.mentions import mentions
from resolvers.staff.runs.frames import append_frames, chat_event, run_begin
from resolvers.staff.runs.lifecycle import hold_starts, may_start, start_run, why_idle
from resolvers.staff.runs.passing_on import TURNS, turns_of

MOST_ASKED: Final = 8
"""Agents by one text: further mentions are words."""
MOST_TURNS_OF_AGENTS: Final = 8
"""Runs that one message of a user leads to: agents that mention each other end here."""
AT_AN_END = f"The agents have taken {MOST_TURNS_OF_AGENTS} turns on one message; mention one of them to continue"
BUSY = "The agent is busy with another message of this chat"
_NAMED = re.compile(r"@([a-z0-9][a-z0-9_-]*)", re.IGNORECASE)


async def mentioned(ctx: Context, agent: Agent, text: str) -> list[Agent]:
    """The agents of the crew of `agent` that the text mentions, itself among them, in the order of their mentions."""
    names = list(dict.fromkeys(name.lower() for name in _NAMED.findall(text)))
    names = [form for name in names[: MOST_ASKED * 4] for form in dict.fromkeys((name, name.rstrip("-")))]
    if not names:
        return []
    same_crew = col(Agent.id) == agent.id if agent.crew_id is None else col(Agent.crew_id) == agent.crew_id
    found = await ctx.select(Agent, same_crew, func.lower(col(Agent.slug)).in_(names)).all()
    asked = [one for one in found if mentions(text, one.slug)]
    lowered = text.lower()
    return sorted(asked, key=lambda one: (lowered.find(f"@{one.slug.lower()}"), one.slug))[:MOST_ASKED]


async def ask(ctx: Context, chat: Chat, agent: Agent, run: Run, *shown: Any, **changes: Any) -> int:
    """Starts the run of an agent in a locked chat, after `hold_starts`; returns the number of the newest frame.

    In a group the first frame names the agent.
    """
    crew = None if agent.crew_id is None else await ctx.select(Crew, col(Crew.id) == agent.crew_id).first()
    run.data = (run.data or {}) | {
        "cli_adapter": agent.cli_adapter,
        "crew_id": crew.id if crew else None,
        "crew_slug": crew.slug if crew else None,
        "agent_slug": agent.slug,
        "tags": ["chat", agent.cli_adapter],
    }
    await start_run(ctx, run, conflict=BUSY)
    whose = {"agent_id": agent.id, "agent_slug": agent.slug} if chat.visibility == ChatVisibility.group else {}
    seq = await append_frames(ctx, chat, run, run_begin(chat, **whose), *shown, **changes)
    ctx.ring(Topic.queue)
    return seq


async def take_next_turn(ctx: Context, run_id: str) -> None:
    """Enqueues the run of the next agent; none if a user has addressed another one meanwhile.

    Skips agents that cannot work.
    """
    ended = await ctx.select(Run, col(Run.id) == run_id).first()
    if ended is None or ended.chat_id is None or ended.message_seq is None:
        return
    said = await _reply(ctx, ended)
    speaker = await ctx.select(Agent, col(Agent.id) == ended.agent_id, including_deleted=True).one()
    number, waiting = turns_of(ended)
    by_reply = [] if said is None else await mentioned(ctx, speaker, said.content)
    order = list(dict.fromkeys([*waiting, *[agent.id for agent in by_reply if agent.id != speaker.id]]))
    agent = await _first_able(ctx, order)
    if agent is None:
        return
    await hold_starts(ctx, agent.id)
    if not await may_start(ctx, ended.triggered_by):
        return
    chat = await ctx.select(Chat, col(Chat.id) == ended.chat_id).locked().first()
    if chat is None or chat.visibility != ChatVisibility.group or await _asked_since(ctx, ended):
        return
    if number >= MOST_TURNS_OF_AGENTS:
        end = (
            chat_event(ChatEventType.system, AT_AN_END, reason="turn_limit"),
            chat_event(ChatEventType.done, no_reply=True),
        )
        await append_frames(ctx, chat, None, run_begin(chat), *end)
        return
    rest = order[order.index(agent.id) + 1 :]
    by_agent = agent.id not in waiting and said is not None
    prompt = f"@{speaker.slug} wrote:\n{said.content}" if by_agent and said is not None else ended.prompt
    following = Run(
        id=new_id(), agent_id=agent.id, chat_id=chat.id, message_seq=chat.last_message_seq + 1,
        triggered_by=ended.triggered_by, prompt=prompt, max_turns=ended.max_turns,
        data={TURNS: {"number": number + 1, "next": rest}},
    )  # fmt: skip
    await ask(ctx, chat, agent, following)


async def _reply(ctx: Context, run: Run) -> Message | None:
    """The reply of the run, if it has ended well."""
    if run.status != RunStatus.COMPLETED:
        return None
    own = (
        col(Message.chat_id) == run.chat_id,
        col(Message.agent_id) == run.agent_id,
        col(Message.role) == MessageRole.assistant,
        col(Message.seq) >= run.message_seq,
    )
    return await ctx.select(Message, *own).order_by(col(Message.seq).desc()).first()


async def _first_able(ctx: Context, order: list[str]) -> Agent | None:
    able = {agent.id: agent for agent in await ctx.select(Agent, col(Agent.id).in_(order)).all()} if order else {}
    return next((able[id] for id in order if id in able and why_idle(able[id]) is None), None)


async def _asked_since(ctx: Context, ended: Run) -> bool:
    live = (col(Run.chat_id) == ended.chat_id, col(Run.status) == RunStatus.RUNNING)
    later = (col(Run.chat_id) == ended.chat_id, col(Run.message_seq) > ended.message_seq)
    return await ctx.select(Run, *live).exists() or await ctx.select(Run, *later).exists()
