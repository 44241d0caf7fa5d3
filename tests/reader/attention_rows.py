"""What needs attention, for one workspace: of each kind some rows that do, and some that nearly do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlmodel import SQLModel

from models.actors import ActorType
from models.attention.approvals import Approval, ApprovalKind, ApprovalMode
from models.attention.inbox import InboxItem, InboxKind, InboxPriority, InboxState, InboxSubject, SenderType
from models.attention.inbox import inbox_item_id as item_id
from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.chats import Chat, ChatMode
from models.staff.crews import Crew
from models.staff.runs import NEVER, Run, RunStatus
from models.work.missions import Mission, MissionStatus, MissionTask, MissionType, TaskStatus

if TYPE_CHECKING:
    from tests.reader.rows import Sower


def needy(sower: "Sower", crews: list[Crew], agents: list[Agent], chats: list[Chat]) -> Iterator[SQLModel]:
    pick, maybe, some = sower.random.choice, sower.maybe, sower.random.randrange
    here, times, now = sower.here, sower.stamps, datetime.now(UTC)
    for number in range(11):
        people: dict[str, Any] = {
            "created_by_type": pick([ActorType.user, ActorType.agent, None]),
            "created_by_id": pick([pick(sower.people).user_id, agents[0].id]),
            "assignee_type": pick(["user", "agent", None]),
            "assignee_id": pick([pick(sower.people).user_id, agents[0].id]),
        }
        status = pick([MissionStatus.REVIEW, MissionStatus.IN_PROGRESS])
        kind: dict[str, Any] = {"number": 900 + number, "identifier": f"NEED-{number}", "mission_type": "issue"}
        mission = Mission(
            crew_id=pick(crews).id, lead_agent_id=pick(agents).id, trace_id=new_id(), title=sower.text(),
            status=status, **(kind if number % 3 else {"mission_type": MissionType.orchestration}), **people, **times(),
            paused_at=sower.time() if number % 4 == 1 else None, **here,
        )  # fmt: skip
        yield mission
        if number == 0:
            yield Chat(id=mission.id, agent_id=agents[0].id, mode=ChatMode.MISSION, **here)
        for _ in range(5 if number == 0 else 0):
            yield Escalation(
                crew_id=mission.crew_id, from_agent_id=pick(agents).id, chat_id=mission.id, reason=sower.text(),
                created_at=sower.time(), **here,
            )  # fmt: skip
        for task in (TaskStatus.AWAITING_APPROVAL, TaskStatus.COMPLETED):
            yield MissionTask(mission_id=mission.id, title=sower.text(), status=task, **times(), **here)
        yield Approval(
            kind=ApprovalKind.tool_call, reason=sower.text() * 5, mode=ApprovalMode["async"], created_at=sower.time(),
            agent_id=pick(agents).id, **here,
        )  # fmt: skip
        said = Run(agent_id=agents[0].id, chat_id=chats[number % 4 // 3].id, status=RunStatus.COMPLETED, **here)
        yield said
        yield Approval(
            kind=ApprovalKind.tool_call, reason=sower.text(), run_id=said.id,
            status="denied" if number % 5 == 0 else "pending", created_at=sower.time(), **here,
        )  # fmt: skip
        failed = Run(
            agent_id=pick(agents).id, status=RunStatus.FAILED, prompt=maybe(sower.text()) or "", finished_at=now,
            created_at=sower.time(), **here,
        )  # fmt: skip
        lease = pick([None, now - timedelta(hours=1), now + timedelta(hours=1), NEVER])
        live = {"status": RunStatus.RUNNING, "leased_until": lease, "created_at": pick([now, sower.time()])}
        yield failed
        yield Run(agent_id=pick(agents).id, started_at=maybe(sower.time()), prompt=sower.text(), **live, **here)
        subject = [failed, mission if number % 3 else None, agents[0], None][number % 4]
        yield from _items(sower, number, failed.id, subject)
        yield Credential(
            name=f"Spent {number}", type=CredentialType.API_KEY, deleted_at=maybe(sower.time(), 0.2),
            status=pick([CredentialStatus.EXPIRED, CredentialStatus.ERROR]), **times(), **here,
        )  # fmt: skip
        span = pick(["total", now.date().isoformat(), "2026-01-01", None])
        reached = {"warned_in": span, "exceeded_in": maybe(span), "reached_at": sower.time() if span else None}
        yield Budget(
            scope=BudgetScope.mission, mission_id=mission.id, period=pick(list(BudgetPeriod)), reservation_micros=1,
            amount_micros=1 + some(9), **reached, **times(), **here,
        )  # fmt: skip


def _items(sower: "Sower", number: int, run_id: str, subject: Any) -> Iterator[SQLModel]:
    pick, here = sower.random.choice, sower.here
    state = pick([InboxState.unread, InboxState.read, InboxState.resolved])
    told: dict[str, Any] = {"title": sower.text(), "state": state}
    yield InboxItem(
        id=item_id(InboxKind.failed_run, run_id), kind=InboxKind.failed_run, source_id=run_id, **told, **sower.stamps(),
        subject_type=InboxSubject.run, subject_id=run_id, target_role=pick(["MANAGER", None]), **here,
    )  # fmt: skip
    types = {Run: InboxSubject.run, Agent: InboxSubject.agent, Mission: InboxSubject.issue}
    about = {"subject_type": types[type(subject)], "subject_id": subject.id} if subject is not None else {}
    whose = (
        {}
        if number < 12
        else {"target_role": sower.maybe("MANAGER"), "target_user_id": sower.maybe(pick(sower.people).user_id)}
    )
    sender = pick([SenderType.agent, SenderType.crew, SenderType.system])
    yield InboxItem(
        id=item_id(InboxKind.message, f"need {number}"), kind=InboxKind.message, source_id=f"need {number}", **told,
        priority=pick(list(InboxPriority)), blocking=pick([True, False]), sender_type=sender, sender_id="somebody",
        **about, **whose, **sower.stamps(), **here,
    )  # fmt: skip
