"""A team at work, as pictures show it: crews, agents, a month of runs and costs, a board, a mission, a chat."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.resources.costs import CostDay, ModelCall
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from models.staff.agents import Agent, AgentStatus, CliAdapter
from models.staff.assignments import Escalation, EscalationType
from models.staff.chats import Chat, Message, MessageRole
from models.staff.crews import Crew
from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from models.staff.runs import NEVER, Run, RunStatus
from models.work.issues import IssueLabel
from models.work.labels import Label
from models.work.missions import Mission, MissionStatus, MissionTask, MissionType, TaskStatus
from models.work.projects import Project, ProjectStatus
from tests.world import World, now

CREWS = {
    "Product": (
        ("Ada", "Lead engineer", "claude-sonnet-5"),
        ("Linus", "Backend", "gpt-5.1"),
        ("Grace", "Reviewer", "claude-sonnet-5"),
    ),
    "Support": (("Marie", "First answers", "claude-haiku-5"), ("Alan", "Incidents", "gpt-5.1")),
}
ISSUES = (
    ("Export invoices as CSV", MissionStatus.BACKLOG, "low", None, "feature"),
    ("Dark mode for the mail templates", MissionStatus.BACKLOG, "none", None, "design"),
    ("Slow search over archived orders", MissionStatus.TODO, "high", "Linus", "performance"),
    ("Ask for the VAT number at checkout", MissionStatus.TODO, "medium", "Ada", "feature"),
    ("Retry webhooks after a timeout", MissionStatus.IN_PROGRESS, "urgent", "Linus", "bug"),
    ("Describe the rate limits", MissionStatus.IN_PROGRESS, "medium", "Marie", "docs"),
    ("Sign in with passkeys", MissionStatus.REVIEW, "high", "Ada", "feature"),
    ("Wrong time zone in the weekly report", MissionStatus.REVIEW, "medium", "Grace", "bug"),
    ("Rotate the mail provider's key", MissionStatus.DONE, "medium", "Alan", "security"),
    ("Upgrade PostgreSQL to 18", MissionStatus.DONE, "low", "Linus", "performance"),
)
COLOURS = {
    "feature": "#2f6fdb",
    "design": "#8a4fd0",
    "performance": "#b86a00",
    "bug": "#c23b31",
    "docs": "#4a6a7c",
    "security": "#13653c",
}
TASKS = (
    ("Read the old changelog", (), TaskStatus.COMPLETED),
    ("List what was merged", (), TaskStatus.COMPLETED),
    ("Sort the changes", (0, 1), TaskStatus.COMPLETED),
    ("Write what is new", (2,), TaskStatus.IN_PROGRESS),
    ("Write what was mended", (2,), TaskStatus.COMPLETED),
    ("Check every link", (3, 4), TaskStatus.BLOCKED),
    ("Publish the notes", (5,), TaskStatus.BLOCKED),
)
PROMPTS = (
    "Answer the question about refunds",
    "Find out why the nightly import failed",
    "Review the change of the mailer",
    "Write the release notes",
    "Label the new issues",
    "Summarise the incident of Monday",
    "Update the price list",
)
REPLY = """The import failed because the supplier's file had **two header rows** since Friday.
I changed the reader so that it skips them:

```python
rows = [row for row in reader if row["sku"] != "sku"]
```

All 4,812 rows are in now. Shall I write to the supplier?"""


@pytest.fixture(scope="module")
async def team(place: World) -> dict[str, str]:
    """Ids by name: of agents, and of `run`, `chat`, `mission`, `issue`."""
    return await Team(place).make()


class Team:
    def __init__(self, place: World) -> None:
        self.place = place
        self.here: dict[str, Any] = {"workspace_id": place.workspace.id}
        self.by_chance = Random(7)
        self.ids: dict[str, str] = {}
        self.agents: dict[str, Agent] = {}

    async def make(self) -> dict[str, str]:
        await self.place.database.execute("DELETE FROM agents")
        await self.place.database.execute("DELETE FROM crews")
        await self.place.database.execute(
            "UPDATE workspaces SET name = 'Northwind' WHERE id = $1", self.place.workspace.id
        )
        for part in (self.staff, self.board, self.mission, self.runs, self.trace, self.chat, self.needs, self.costs):
            await part()
        return self.ids

    async def staff(self) -> None:
        for crew_name, agents in CREWS.items():
            crew = Crew(name=crew_name, slug=crew_name.lower(), **self.here)
            await self.place.add(crew)
            self.ids[crew_name] = crew.id
            for name, title, model in agents:
                agent = self.agents[name] = Agent(
                    crew_id=crew.id,
                    name=name,
                    slug=name.lower(),
                    role_title=title,
                    llm_model=model,
                    cli_adapter=CliAdapter.CODEX_CLI if model.startswith("gpt") else CliAdapter.CLAUDE_CODE,
                    status=AgentStatus.RUNNING if name == "Linus" else AgentStatus.IDLE,
                    **self.here,
                )
                await self.place.add(agent)
                self.ids[name] = agent.id

    async def board(self) -> None:
        labels = {name: Label(name=name, color=color, **self.here) for name, color in COLOURS.items()}
        project = Project(name="Shop 2.0", slug="shop-2", status=ProjectStatus.in_progress, **self.here)
        await self.place.add(project, *labels.values())
        for number, (title, status, priority, assignee, label) in enumerate(ISSUES, 1):
            made = now() - timedelta(days=12 - number, minutes=number)
            given: dict[str, Any] = {"assignee_type": "agent", "assignee_id": self.ids[assignee]} if assignee else {}
            issue = Mission(
                crew_id=self.ids["Product"],
                lead_agent_id=self.ids["Ada"],
                trace_id=new_id(),
                title=title,
                status=status,
                number=number,
                identifier=f"PRO-{number}",
                mission_type=MissionType.issue,
                priority=priority,
                project_id=project.id if number % 3 else None,
                created_at=made,
                updated_at=made,
                **given,
                **self.here,
            )
            await self.place.add(issue, IssueLabel(mission_id=issue.id, label_id=labels[label].id, **self.here))
            self.ids[title] = issue.id

    async def mission(self) -> None:
        began = now() - timedelta(minutes=26)
        mission = Mission(
            crew_id=self.ids["Product"],
            lead_agent_id=self.ids["Ada"],
            trace_id=new_id(),
            title="Write the release notes of 2.0",
            status=MissionStatus.IN_PROGRESS,
            started_at=began,
            created_at=began,
            **self.here,
        )
        tasks: list[MissionTask] = []
        for order, (title, after, status) in enumerate(TASKS):
            times: dict[str, Any] = {}
            if status in (TaskStatus.COMPLETED, TaskStatus.IN_PROGRESS):
                ready = max((tasks[at].completed_at or began for at in after), default=began)
                times["started_at"] = ready + timedelta(minutes=order % 2)
            if status is TaskStatus.COMPLETED:
                times |= {"completed_at": times["started_at"] + timedelta(minutes=3), "duration_ms": 180_000}
            tasks.append(
                MissionTask(
                    mission_id=mission.id,
                    title=title,
                    status=status,
                    task_order=order,
                    depends_on=[tasks[at].id for at in after],
                    assigned_agent_id=self.ids[("Ada", "Linus", "Grace")[order % 3]],
                    **times,
                    **self.here,
                )
            )
        await self.place.add(mission, *tasks)
        self.ids["mission"] = mission.id

    async def runs(self) -> None:
        """Runs of the last day, among them two at work."""
        states = (RunStatus.COMPLETED,) * 7 + (RunStatus.FAILED, RunStatus.CANCELLED)
        for number in range(60):
            agent = self.by_chance.choice(list(self.agents.values()))
            began = now() - timedelta(minutes=3 + number * 23)
            status = RunStatus.RUNNING if number in (0, 2) else self.by_chance.choice(states)
            ended = None if status is RunStatus.RUNNING else began + timedelta(seconds=self.by_chance.randint(4, 400))
            run = Run(
                agent_id=agent.id,
                status=status,
                prompt=self.by_chance.choice(PROMPTS),
                model=agent.llm_model,
                started_at=began,
                created_at=began,
                finished_at=ended,
                trigger_type=self.by_chance.choice(("USER", "WEBHOOK", "SCHEDULED", "ASSIGNMENT")),
                leased_until=None if ended else NEVER,
                error_message="The provider answers 529: overloaded." if status is RunStatus.FAILED else None,
                **self.here,
            )
            await self.place.add(run, self.call(run.id, agent, began, self.by_chance.randint(2_000, 90_000)))

    def call(self, run: str, agent: Agent, at: Any, micros: int) -> ModelCall:
        return ModelCall(
            run_id=run,
            step=new_id(),
            agent_id=agent.id,
            crew_id=agent.crew_id,
            provider="any",
            model=agent.llm_model or "",
            input_tokens=micros // 3,
            output_tokens=micros // 20,
            cost_micros=micros,
            created_at=at,
            **self.here,
        )

    async def trace(self) -> None:
        """A run of Linus, from its first call to its end."""
        linus, began = self.agents["Linus"], now() - timedelta(hours=2)
        chat = Chat(agent_id=linus.id, title="The nightly import", created_by=None, **self.here)
        run = Run(
            agent_id=linus.id,
            chat_id=chat.id,
            status=RunStatus.COMPLETED,
            prompt=PROMPTS[1],
            model=linus.llm_model,
            started_at=began,
            created_at=began,
            finished_at=began + timedelta(seconds=74),
            **self.here,
        )
        await self.place.add(chat, run, self.call(run.id, linus, began, 48_000))
        steps = (
            (SpanKind.MODEL_CALL, "gpt-5.1", 0, 9, "I look at the log of the import first."),
            (SpanKind.TOOL_CALL, "read_file", 9, 2, "logs/import.txt"),
            (SpanKind.MODEL_CALL, "gpt-5.1", 11, 14, "The file has two header rows."),
            (SpanKind.TOOL_CALL, "edit_file", 25, 3, "importer/reader.py"),
            (SpanKind.TOOL_CALL, "run_command", 28, 21, "pytest -q tests/importer"),
            (SpanKind.WAIT, "approval", 49, 11, "run_command"),
            (SpanKind.TOOL_CALL, "run_command", 60, 8, "importer --again"),
            (SpanKind.MODEL_CALL, "gpt-5.1", 68, 6, "All 4,812 rows are in now."),
        )
        for seq, (kind, name, at, took, summary) in enumerate(steps, 1):
            started = began + timedelta(seconds=at)
            await self.place.add(
                RunSpan(
                    run_id=run.id,
                    seq=seq,
                    kind=kind,
                    name=name,
                    status=SpanStatus.COMPLETED,
                    started_at=started,
                    summary=summary,
                    finished_at=started + timedelta(seconds=took),
                    input={"path": summary},
                    output="ok",
                    changed=str(seq),
                    created_at=began,
                    **self.here,
                )
            )
        self.ids |= {"run": run.id, "chat": chat.id}

    async def chat(self) -> None:
        ada = await self.place.database.fetchval("SELECT id FROM users WHERE email = 'ada@example.com'")
        await self.place.database.execute("UPDATE chats SET created_by = $2 WHERE id = $1", self.ids["chat"], ada)
        linus = self.ids["Linus"]
        parts = [{"type": "text", "content": REPLY}]
        await self.place.add(
            Message(
                chat_id=self.ids["chat"], role=MessageRole.user, content=PROMPTS[1], author_user_id=ada, **self.here
            ),
            Message(
                chat_id=self.ids["chat"],
                role=MessageRole.assistant,
                agent_id=linus,
                content=REPLY,
                parts=parts,
                **self.here,
            ),
        )

    async def needs(self) -> None:
        recent = now() - timedelta(minutes=7)
        alan, ada = self.ids["Alan"], self.ids["Ada"]
        await self.place.add(
            Approval(
                kind=ApprovalKind.tool_call,
                reason="Alan wants to call run_command",
                tool="run_command",
                agent_id=alan,
                crew_id=self.ids["Support"],
                payload={"tool": "run_command", "args": {"command": "systemctl restart mailer"}},
                timeout_at=now() + timedelta(hours=1),
                created_at=recent,
                **self.here,
            ),
            Escalation(
                crew_id=self.ids["Product"],
                from_agent_id=ada,
                type=EscalationType.TEXT,
                reason="Which branch do I release?",
                context="main is ahead of release/2 by 14 commits",
                chat_id=self.ids["chat"],
                created_at=recent - timedelta(minutes=4),
                **self.here,
            ),
            Budget(
                scope=BudgetScope.crew,
                crew_id=self.ids["Support"],
                period=BudgetPeriod.day,
                amount_micros=25_000_000,
                reservation_micros=1,
                **self.here,
            ),
            Budget(
                scope=BudgetScope.workspace,
                period=BudgetPeriod.total,
                amount_micros=120_000_000,
                reservation_micros=1,
                **self.here,
            ),
            Credential(
                name="GitHub",
                type=CredentialType.API_KEY,
                provider="GITHUB",
                status=CredentialStatus.EXPIRED,
                **self.here,
            ),
        )

    async def costs(self) -> None:
        today = now().date()
        for back in range(30):
            for agent in self.agents.values():
                calls = self.by_chance.randint(4, 40) // (1 + ((today - timedelta(days=back)).weekday() > 4))
                micros = calls * self.by_chance.randint(20_000, 60_000)
                await self.place.add(
                    CostDay(
                        day=today - timedelta(days=back),
                        agent_id=agent.id,
                        crew_id=agent.crew_id or "",
                        model=agent.llm_model or "",
                        slot=0,
                        calls=calls,
                        input_tokens=micros // 3,
                        output_tokens=micros // 20,
                        cost_micros=micros,
                        **self.here,
                    )
                )
