"""Work on missions, for one workspace: assignments with runs, and checkpoints, more of each than a page of one row."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlmodel import SQLModel

from models.staff.agents import Agent
from models.staff.chats import Chat, ChatMode
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment, AssignmentStatus, Checkpoint, Mission, MissionTask

if TYPE_CHECKING:
    from tests.reader.rows import Sower


def board(sower: "Sower", missions: list[Mission], agents: list[Agent]) -> Iterator[SQLModel]:
    """Most hangs on the first of them."""
    pick, maybe = sower.random.choice, sower.maybe
    for mission in missions[:3]:
        here, many = {"workspace_id": mission.workspace_id}, 6 if mission is missions[0] else 2
        lead = mission.lead_agent_id
        yield Chat(id=mission.id, agent_id=lead, title=sower.text(), mode=ChatMode.MISSION, **sower.stamps(), **here)
        for number in range(many):
            made = Assignment(
                chat_id=mission.id, assigned_by_id=lead, assigned_to_id=pick(agents).id, task=sower.text(),
                status=pick(list(AssignmentStatus)), result_summary=maybe(sower.text()), **sower.stamps(), **here,
            )  # fmt: skip
            yield made
            for _ in range(many - number):
                yield Run(
                    agent_id=made.assigned_to_id, assignment_id=made.id, status=RunStatus.COMPLETED,
                    finished_at=sower.time(), created_at=sower.time(), **here,
                )  # fmt: skip
            yield MissionTask(mission_id=mission.id, assignment_id=made.id, title=sower.text(), **here)
        before: Checkpoint | None = None
        for _ in range(many):
            before = Checkpoint(
                crew_id=mission.crew_id, mission_id=mission.id, label=maybe(sower.text()), journal_cursor=sower.text(),
                state={"agent_memory": {}, "pending_tasks": [], "open_assignments": []},
                fork_of=maybe(before.id) if before else None, created_by=maybe(pick(sower.people).user_id),
                created_at=sower.time(), **here,
            )  # fmt: skip
            yield before
