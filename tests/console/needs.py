"""One row of each kind that needs a person, and work that goes on."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.attention.inbox import InboxItem, InboxKind, InboxSubject, inbox_item_id
from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from models.staff.assignments import Escalation, EscalationType
from models.staff.chats import Chat
from models.staff.runs import Run, RunStatus
from models.work.missions import Mission, MissionStatus
from tests.world import World, now

TABLES = ("approvals", "escalations", "inbox_items", "budgets", "credentials", "runs", "missions", "chats")

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
MARKDOWN = f"**Look** at [this](javascript:document.title='owned') {HOSTILE}\n\n```sh\nmake\n```"


@dataclass
class Needs:
    approval: Approval
    escalation: Escalation
    failed: Run
    message: InboxItem
    budget: Budget
    issue: Mission


@pytest.fixture
async def given(place: World) -> AsyncIterator[Needs]:
    yield await needs(place)
    for table in TABLES:
        await place.database.execute(f"DELETE FROM {table}")


async def needs(place: World) -> Needs:
    """Rows of which each is an entry of the list, written without any operation."""
    crew, agent = await _crew(place), await _agent(place)
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    recent = now() - timedelta(minutes=7)
    chat = Chat(id=new_id(), agent_id=agent, agent_slug="scout", title="Release", **here)
    approval = Approval(
        kind=ApprovalKind.tool_call, reason="The agent wants to call run_command", tool="run_command", agent_id=agent,
        crew_id=crew, payload={"tool": "run_command", "args": {"command": "rm -r build", "note": HOSTILE}},
        timeout_at=now() + timedelta(hours=1), created_at=recent, **here,
    )  # fmt: skip
    escalation = Escalation(
        crew_id=crew, from_agent_id=agent, from_name="Scout", from_slug="scout", type=EscalationType.TEXT,
        reason=f"Which branch do I release? {HOSTILE}", context="main is ahead of release/2 by 14 commits",
        chat_id=chat.id, created_at=recent, **here,
    )  # fmt: skip
    failed = Run(
        agent_id=agent, chat_id=chat.id, status=RunStatus.FAILED, prompt="Write the changelog", finished_at=now(),
        started_at=recent, created_at=recent, error_message=f"The provider refuses: {HOSTILE}", **here,
    )  # fmt: skip
    running = Run(
        agent_id=agent, status=RunStatus.RUNNING, prompt="Read the logs", started_at=recent, created_at=recent,
        leased_until=now() + timedelta(hours=1), **here,
    )  # fmt: skip
    told = InboxItem(
        id=inbox_item_id(InboxKind.failed_run, failed.id), kind=InboxKind.failed_run, source_id=failed.id,
        title="A run failed", subject_type=InboxSubject.run, subject_id=failed.id, created_at=recent, updated_at=recent,
        **here,
    )  # fmt: skip
    message = InboxItem(
        id=inbox_item_id(InboxKind.message, "note"), kind=InboxKind.message, source_id="note",
        title="A note from Scout", body_md=MARKDOWN, created_at=recent, updated_at=recent, **here,
    )  # fmt: skip
    budget = Budget(
        scope=BudgetScope.agent, agent_id=agent, period=BudgetPeriod.total, amount_micros=5_000_000,
        reservation_micros=1, exceeded_in="total", reached_at=recent, **here,
    )  # fmt: skip
    credential = Credential(name="GitHub", type=CredentialType.API_KEY, status=CredentialStatus.EXPIRED, **here)
    issue = Mission(
        crew_id=crew, lead_agent_id=agent, trace_id=new_id(), title="Write the release notes", number=1,
        identifier="DEM-1", mission_type="issue", status=MissionStatus.REVIEW,
        description="# Notes\n\nAll that changed.", **here,
    )  # fmt: skip
    await place.add(chat, approval, escalation, failed, running, told, message, budget, credential, issue)
    return Needs(approval, escalation, failed, message, budget, issue)


async def _crew(place: World) -> str:
    return str(await place.database.fetchval("SELECT id FROM crews WHERE workspace_id = $1", place.workspace.id))


async def _agent(place: World) -> str:
    return str(await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1"))
