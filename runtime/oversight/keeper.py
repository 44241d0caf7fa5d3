"""Jobs and clocks of the keeper: abandoned requests, memories and skills that are due for a review."""

from functools import partial

from resolvers.instance.running import instance
from resolvers.oversight.keeper.consolidation import CONSOLIDATE, OfLearningCrew, enqueue_due, note, reviewed
from resolvers.oversight.keeper.consolidation import LOOK as MEMORY
from resolvers.oversight.keeper.requests import CLOSE, LOOK, OfRequest, close, enqueue_overdue
from resolvers.oversight.keeper.skills import LOOK as SKILLS
from resolvers.oversight.keeper.skills import REVIEW, OfSkill, look_at_skills, review_daily
from resolvers.oversight.keeper.user_models import note_facts
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

PATIENCE = 180.0
"""Seconds for a call of a model, and what is written of it."""


@ticks(LOOK)
async def look(tick: Tick) -> None:
    await tick.write(enqueue_overdue)


@carries(CLOSE)
async def closed(work: Work, data: OfRequest) -> None:
    await work.write("close", lambda ctx: close(ctx, data.request_id))


@ticks(MEMORY)
async def look_at_memories(tick: Tick) -> None:
    while await tick.write(enqueue_due):
        pass


@ticks(SKILLS)
async def look_at_all_skills(tick: Tick) -> None:
    while await tick.write(look_at_skills):
        pass


@carries(REVIEW)
async def reviewed_skill(work: Work, data: OfSkill) -> None:
    asked = partial(review_daily, work.workspace_id, data.skill_id)
    await work.call("review", asked, timeout=PATIENCE)


@carries(CONSOLIDATE)
async def consolidated(work: Work, data: OfLearningCrew) -> None:
    """Card by card, and then person by person: each is a call of a model, and one that fails keeps no other from being
    written.
    """
    workspace_id = work.workspace_id
    peers = await work.call("review", lambda _: reviewed(workspace_id, data.crew_id), timeout=PATIENCE)
    for number, peer in enumerate(peers):
        noted = partial(note, workspace_id, peer)
        await work.call(f"card {number}", noted, timeout=PATIENCE)
    people = dict.fromkeys(peer.user_id for peer in peers) if instance.settings.user_models else {}
    for number, user_id in enumerate(people):
        known = partial(_note_facts, workspace_id, data.crew_id, user_id)
        await work.call(f"person {number}", known, timeout=PATIENCE)


async def _note_facts(workspace_id: str, crew_id: str, user_id: str, key: str) -> None:
    await note_facts(workspace_id, crew_id, user_id)
