"""Seeded rows that reads get wrong: ties, nulls, strange texts and numbers, deleted rows, another workspace of them."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlmodel import AutoString, SQLModel

from models.attention.approvals import Approval, ApprovalGate, ApprovalKind, ApprovalStatus
from models.attention.inbox import InboxItem, InboxKind, InboxState, SenderType, inbox_item_id
from models.attention.notifications import Notification
from models.attention.webhook_endpoints import WebhookEndpoint
from models.base import CHOICES, most_characters, new_id, table_of
from models.kernel import SecurityLog
from models.people.auth import User
from models.people.service_accounts import ServiceAccount, service_account_id
from models.people.workspaces import Invitation, Membership, Role, Workspace
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope, BudgetSpend, CallReservation, RunReservation
from models.resources.costs import ModelCall, ModelPrice
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialEvent,
    CredentialEventType,
    CredentialRotation,
    CredentialType,
)
from models.staff.agents import Agent, AgentRole, AgentStatus, LeadMode, LlmProvider
from models.staff.assignments import Escalation, PeerConversation
from models.staff.chats import (
    Chat,
    ChatOrigin,
)
from models.staff.crews import ConnectionDirection, Crew, CrewConnection, CrewMember, NetworkMode
from models.staff.memory import MemoryTier, MemoryVersion
from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from models.staff.runs import OUTPUT, ChatEventType, Run, RunFrame, RunStatus
from models.staff.webhooks import WebhookReceipt, WebhookResult
from models.work.missions import Assignment, AssignmentStatus, Mission, MissionTask, TaskStatus
from models.work.templates import WorkflowTemplate
from tests.generation.domains import ENTITIES, SOWN
from tests.generation.entities import lacking, planted
from tests.reader.attention_rows import needy
from tests.reader.chat_rows import said
from tests.reader.credential_rows import acted, filled, linked, tagged
from tests.reader.delivery_rows import delivered
from tests.reader.integration_rows import servers
from tests.reader.issue_rows import IssueSower
from tests.reader.keeper_rows import asked
from tests.reader.log_rows import logs
from tests.reader.routine_rows import routines
from tests.reader.skill_rows import proposed, taught
from tests.reader.tracker_rows import recurring, rules, views
from tests.reader.values import FLOATS, JSON, WHOLE
from tests.world import Person, World

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TEXTS = [
    "",
    "plain",
    'it\'s "quoted" and \\escaped\\',
    "two\nlines\tand a tab\r",
    "ünïcödé ☃ 漢字 🎉 e\u0301",
    "%s %% :name $1 {0} {{}} ; -- /* */",
    "\u2028\u2029\x01\x7f\ufeff",
    "null",
    "x" * 80,
]

BUILD = {
    "status": "failed", "error": "there is no such feature", "step": 2, "total": 3, "message": "Install feature x",
    "steps": ["Pull x", "Install feature x"], "log_tail": [], "started_at": "2026-03-01T12:00:00Z",
}  # fmt: skip


class Sower:
    """Rows of one workspace. Times fall on few instants, so that many are equal; some differ below the second."""

    def __init__(self, seed: int, workspace: Workspace, people: list[Person], members: set[str]) -> None:
        """`members`: ids of the users who are in the workspace."""
        self.random, self.workspace, self.people, self.members = random.Random(seed), workspace, people, members

    @property
    def here(self) -> dict[str, Any]:
        return {"workspace_id": self.workspace.id}

    def time(self) -> datetime:
        return START + timedelta(hours=self.random.randrange(4), microseconds=self.random.choice([0, 0, 1, 999_999]))

    def maybe(self, value: Any, of: float = 0.5) -> Any:
        return value if self.random.random() < of else None

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def stamps(self) -> dict[str, Any]:
        return {"created_at": self.time(), "updated_at": self.time()}

    def rows(self) -> Iterator[SQLModel]:
        """In an order that satisfies the foreign keys. Tables that are not named here have rows as their domain's cases
        make them.
        """
        made = list[SQLModel]()
        for row in self._rows():
            made.append(row)
            yield row
        for key in [key for key in lacking(made) if key in SOWN]:
            yield from self.varied(key, made)

    def varied(self, key: str, made: Iterable[SQLModel] = ()) -> list[Any]:
        """Rows as the entity is, with other texts and nulls."""
        plot = planted(made, self.workspace, self.people[0])
        return [self._varied(ENTITIES[key](plot), number) for number in range(SOWN[key])]

    def _varied(self, row: SQLModel, number: int) -> SQLModel:
        model = table_of(type(row))
        unique = {c.name for rule in model.constraints if isinstance(rule, UniqueConstraint) for c in rule.columns}
        for column in model.columns:
            if column.name == "id" or column.foreign_keys or column.name not in row.__dict__:
                continue
            if column.name in unique and isinstance(row.__dict__[column.name], str):
                row.__dict__[column.name] = f"{TEXTS[number % len(TEXTS)]}{number}"
            elif isinstance(column.type, String | AutoString) and CHOICES not in column.info:
                row.__dict__[column.name] = self.maybe(self.text()) if column.nullable else self.text()
            elif column.nullable:
                row.__dict__[column.name] = self.maybe(row.__dict__[column.name])
        row.__dict__.update({name: at for name, at in self.stamps().items() if name in model.c})
        return row

    def _rows(self) -> Iterator[SQLModel]:
        pick = self.random.choice
        labels = self.varied("label")
        yield from labels
        crews = [self.crew(number) for number in range(9)]
        yield from crews
        live = [c for c in crews if c.deleted_at is None]
        for crew in crews[:-1]:  # the last one is empty
            for person in self.random.sample(self.people, 3):
                yield CrewMember(
                    crew_id=crew.id,
                    user_id=person.user_id,
                    role=self.maybe(pick(list(Role))),
                    created_at=self.time(),
                    **self.here,
                )
        pairs = [(a, b) for a in crews for b in crews if a is not b]
        for a, b in self.random.sample(pairs, 12):
            yield CrewConnection(
                from_crew_id=a.id,
                to_crew_id=b.id,
                direction=pick(list(ConnectionDirection)),
                **self.here,
                **self.stamps(),
            )
        agents: list[Agent] = []
        for number in range(34):
            agents.append(self.agent(number, pick([*crews[:-1], None]), agents))
            yield agents[-1]
        for _ in range(12):
            status = pick(["accepted", "open"])
            accepted = self.time() if status == "accepted" else None
            yield Invitation(
                email=f"guest{self.random.randrange(5)}@example.com", role=Role.MEMBER,
                invited_by=pick(self.people).user_id, token=new_id(),
                expires_at=self.time(), accepted_at=accepted, created_at=self.time(), **self.here,
            )  # fmt: skip
        chats = [self.chat(number, agents) for number in range(15)]
        yield from self.work(live, agents, chats)
        yield from IssueSower(self, crews[:-1], agents, chats, labels).rows()
        yield from [*views(self), *recurring(self, crews[:-1], agents), *rules(self, crews[:-1], agents)]
        yield from self.robots()
        yield from self.money(agents, crews, chats)
        yield from asked(self, agents)
        yield from needy(self, live, agents, chats)
        yield from routines(self, crews[:-1], agents)

    def money(self, agents: list[Agent], crews: list[Crew], chats: list[Chat]) -> Iterator[SQLModel]:
        """Calls of models, of which some name what is not there; budgets, what is spent of them and set aside."""
        pick, some = self.random.choice, self.random.randrange
        for number in range(30):
            yield ModelCall(
                run_id=f"run-{some(3)}", step=str(number), agent_id=pick(agents).id, crew_id=self.maybe(pick(crews).id),
                chat_id=self.maybe(pick(chats).id), mission_id=self.maybe(new_id()), provider=pick(["a", "b"]),
                model=self.text(), input_tokens=pick([0, 1, 1 << 40]), output_tokens=some(9),
                cost_micros=self.maybe(pick([0, 1, 1 << 40])), estimated=pick([True, False]), created_at=self.time(),
                **self.here,
            )  # fmt: skip
        for number in range(5):
            yield ModelPrice(
                model=f"m-{some(2)}", since=date(2026, 1, 1 + number), input_micros=some(1 << 40),
                output_micros=some(9), cached_input_micros=self.maybe(some(9)), **self.here, **self.stamps(),
            )  # fmt: skip
        run = Run(agent_id=agents[0].id, **self.here)
        yield run
        subjects: list[dict[str, Any]] = [{"scope": BudgetScope.workspace}]
        subjects += [{"scope": BudgetScope.agent, "agent_id": agent.id} for agent in agents[:4]]
        subjects += [{"scope": BudgetScope.crew, "crew_id": crew.id} for crew in crews]
        for subject in subjects:
            budget = Budget(
                period=pick(list(BudgetPeriod)), amount_micros=pick([1, 5_000, 1 << 50]), reservation_micros=1,
                soft_limit_percent=self.maybe(80), hard_stop=pick([True, False]), **subject, **self.here,
                **self.stamps(),
            )  # fmt: skip
            yield budget
            for slot in range(some(4)):
                for span in ("total", "2026-01-01", datetime.now(UTC).date().isoformat()):
                    yield BudgetSpend(budget_id=budget.id, span=span, slot=slot, micros=some(4_000), **self.here)
            for hours in (-1, 1):
                ends = {"expires_at": datetime.now(UTC) + timedelta(hours=hours)}
                yield CallReservation(call_id=new_id(), budget_id=budget.id, micros=some(9), **ends, **self.here)
            if pick([True, False]):
                yield RunReservation(run_id=run.id, budget_id=budget.id, granted_micros=9, micros=some(9), **self.here)
        yield from self.templates()

    def robots(self) -> Iterator[SQLModel]:
        """Service accounts, each with its user. That members are others, their own tests show."""
        for number in range(6):
            id, role = service_account_id(), self.random.choice([Role.ADMIN, Role.MEMBER, Role.VIEWER])
            yield User(id=id, email=f"{id}@service-accounts.invalid", full_name=f"Robot {number}", **self.stamps())
            yield ServiceAccount(
                id=id, name=f"Robot {number}", description=self.maybe(self.text()), role=role,
                deactivated_at=self.maybe(self.time()), created_by=self.maybe(self.random.choice(self.people).user_id),
                **self.here, **self.stamps(),
            )  # fmt: skip

    def templates(self) -> Iterator[SQLModel]:
        """Of both kinds: any JSON, and stages."""
        for number in range(8):
            definition = self.random.choice(['{"b": 1, "a": [null, "\\u00e9"]}', "[1, 2]", "null", '"text"'])
            yield WorkflowTemplate(
                name=f"{TEXTS[number % len(TEXTS)]}{number}", description=self.maybe(self.text()),
                template_json=definition, icon=self.maybe(self.text()), color=self.maybe(self.text()),
                is_builtin=self.random.random() < 0.4, **self.here, **self.stamps(),
            )  # fmt: skip

    def crew(self, number: int) -> Crew:
        pick = self.random.choice
        made = Crew(
            name=self.text(), slug=f"crew-{number}", description=self.maybe(self.text()), color=self.maybe(self.text()),
            icon=self.maybe(self.text()),
            persona=self.maybe(self.text()),
            container_memory_mb=pick(WHOLE), container_cpus=pick(FLOATS), container_ttl_hours=self.maybe(pick(WHOLE)),
            network_mode=pick(list(NetworkMode)),
            allowed_domains=pick(JSON), mcp_config_json=self.maybe('{"a": [1, null]}'),
            policy_set_at=self.maybe(self.time()),
            policy_set_by_user_id=self.maybe(pick(self.people).user_id), issue_counter=pick(WHOLE),
            issue_prefix=self.maybe(self.text()), build=BUILD if number % 2 else None, **self.here, **self.stamps(),
        )  # fmt: skip
        if number in (2, 5):
            made.deleted_at = self.time()
        return made

    def agent(self, number: int, crew: Crew | None, others: list[Agent]) -> Agent:
        pick, expired = self.random.choice, self.maybe(self.time(), 0.3)
        lead = crew is not None and not any(a.crew_id == crew.id for a in others)
        made = Agent(
            name=self.text(), slug=f"agent-{number}", crew_id=crew.id if crew else None,
            description=self.maybe(self.text()),
            role_title=self.maybe(self.text()),
            agent_role=AgentRole.LEAD if lead else AgentRole.AGENT, lead_mode=pick(list(LeadMode)) if lead else None,
            status=pick(list(AgentStatus)),
            llm_provider=self.maybe(pick(list(LlmProvider))), llm_model=self.maybe(self.text()),
            system_prompt=self.maybe(self.text()),
            persona=self.maybe(self.text()),
            timeout_seconds=pick(WHOLE), memory_enabled=pick([True, False]), schedule_next_run=self.maybe(self.time()),
            ephemeral=expired is not None,
            expires_at=self.maybe(self.time()), expired_at=expired,
            parent_lead_id=self.maybe(pick(others).id) if others else None,
            created_by_user_id=self.maybe(pick(self.people).user_id), **self.here, **self.stamps(),
        )  # fmt: skip
        if number % 8 == 3:
            made.deleted_at = self.time()
        return made

    def chat(self, number: int, agents: list[Agent]) -> Chat:
        """Every third is one agent's."""
        pick = self.random.choice
        return Chat(
            agent_id=agents[0].id if number % 3 == 0 else pick(agents).id,
            created_by=self.maybe(pick(self.people).user_id), title=self.maybe(self.text()),
            origin=self.maybe(pick(list(ChatOrigin))), last_activity_at=self.time(), ended_at=self.maybe(self.time()),
            last_seq=pick(WHOLE[:4]),
            **self.here, **self.stamps(),
        )  # fmt: skip

    def runs(self, chats: list[Chat], agents: list[Agent]) -> Iterator[SQLModel]:
        """Every third run is of one agent in one chat. Runs that are live are in no chat, where two could meet."""
        pick, now, earlier = self.random.choice, datetime.now(UTC), list[str]()
        for number in range(36):
            chat, agent = (chats[0], agents[0]) if number % 3 == 0 else (self.maybe(pick(chats)), pick(agents))
            status = pick(list(RunStatus)[1:]) if chat else RunStatus.RUNNING
            created = pick([self.time(), now])
            run = Run(
                agent_id=agent.id, chat_id=chat.id if chat else None, status=status,
                trigger_type=pick(["USER", "CRON", ""]), model=self.maybe(self.text()),
                data=pick([None, {"tags": ["chat", self.text()]}, {"tags": "chat"}, {"n": 1}]), created_at=created,
                started_at=self.maybe(created),
                finished_at=None if status is RunStatus.RUNNING else created, error_message=self.maybe(self.text()),
                waits_for=self.maybe(self.text()), waits_since=self.maybe(created), parent_id=pick([None, *earlier]),
                retry_of=pick([None, *earlier]), **self.here,
            )  # fmt: skip
            yield run
            earlier.append(run.id)
            for seq in range(1, number % 5):
                yield RunSpan(
                    run_id=run.id, seq=seq, parent_seq=self.maybe(1), kind=pick(list(SpanKind)), name=self.text(),
                    status=pick(list(SpanStatus)), started_at=created, finished_at=self.maybe(now),
                    summary=self.maybe(self.text()), output=self.maybe(self.text()), changed="0", created_at=created,
                    **self.here,
                )  # fmt: skip
            if chat is not None:
                type_ = pick(list(ChatEventType))
                payload: dict[str, Any] = {"type": type_, "content": self.text()} | pick(
                    [{}, {"metadata": {"tool_name": self.text()}}]
                )
                yield RunFrame(
                    chat_id=chat.id, seq=number, run_id=run.id, agent_id=run.agent_id if type_ in OUTPUT else None,
                    type=pick(["chat_event"] * 3 + ["run_begin"]), payload=payload,
                    created_at=now - (self.time() - START),  # older ones would be swept while the documents are asked
                    **self.here,
                )  # fmt: skip
        for seq in range(4):
            yield RunFrame(
                chat_id=chats[0].id, seq=100 + seq, run_id=earlier[0], agent_id=agents[0].id, type="chat_event",
                payload={"type": OUTPUT[0], "content": f"line {seq}"}, created_at=now, **self.here,
            )  # fmt: skip

    def activity(self, crews: list[Crew], agents: list[Agent], chats: list[Chat]) -> Iterator[SQLModel]:
        pick = self.random.choice
        for _ in range(8):
            status = pick(list(AssignmentStatus))
            yield Assignment(
                chat_id=pick(chats).id,
                assigned_by_id=pick(agents).id,
                assigned_to_id=pick(agents).id,
                task="t",
                status=status,
                result_summary=self.maybe(self.text()),
                created_at=self.time(),
                **self.here,
            )
            told = {"path": "p", "tier": MemoryTier.persona, "sha256": self.text()[:60], "bytes": pick(WHOLE)}
            yield MemoryVersion(owner_id=agents[0].id, written_at=self.time(), **told, **self.here)
            for _ in range(3):
                one, other = self.random.sample(agents, 2)
                yield PeerConversation(
                    from_agent_id=one.id,
                    to_agent_id=other.id,
                    question=self.text(),
                    response=self.maybe(self.text()),
                    created_at=self.time(),
                    **self.here,
                )
            for crew, asks in ((pick(crews), one), (crews[0], agents[0])):
                told = {"reason": self.text(), "context": self.maybe(self.text()), "created_at": self.time()}
                yield Escalation(crew_id=crew.id, from_agent_id=asks.id, **told, **self.here)

    def vault(self, crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
        """Credentials that every member sees, for agents of which each has a credential once."""
        for number in range(15):
            secret = Credential(
                name=f"key {number}",
                type=self.random.choice(list(CredentialType)),
                description=self.maybe(self.text()),
                created_at=self.time(),
                **tagged(self),
            )
            yield secret
            yield from linked(self, secret, crews)
            for agent in self.random.sample(agents[:3], 2) if number else agents[:6]:
                given = {"env_var_name": self.random.choice("ABC"), "priority": self.random.randrange(3)}
                yield AgentCredential(agent_id=agent.id, credential_id=secret.id, **given, **self.here)
            yield from filled(self, secret, agents[number % 4], number)
            for _ in range(self.random.randrange(4) if number else 9):
                told = {"event_type": CredentialEventType.TEST, "occurred_at": self.time()} | acted(self, agents[0])
                turned: dict[str, Any] = {"rotated_at": self.time(), "expires_at": self.time(), "grace_seconds": 5}
                turned["rotated_by"] = self.random.choice(self.people).user_id
                yield CredentialRotation(credential_id=secret.id, **turned, **self.here)
                yield CredentialEvent(credential_id=secret.id, **told, **self.here)

    def work(self, crews: list[Crew], agents: list[Agent], chats: list[Chat]) -> Iterator[SQLModel]:
        pick = self.random.choice
        yield from chats
        yield from said(self, chats, crews)
        yield from self.runs(chats, agents)
        yield from self.vault(crews, agents)
        yield from taught(self, agents)
        yield from servers(self, crews, agents)
        yield from proposed(self, crews)
        missions = [
            Mission(
                crew_id=pick(crews).id, lead_agent_id=pick(agents).id, trace_id=new_id(), title=self.text(), **self.here
            )
            for _ in range(4)
        ]
        yield from missions
        yield from self.activity(crews, agents, chats)
        now = datetime.now(UTC)
        for number in range(40):
            status, ago = pick(list(TaskStatus)), pick([timedelta(hours=1), timedelta(days=3)])
            yield MissionTask(
                mission_id=pick(missions).id, assigned_agent_id=self.maybe(pick(agents).id, 0.9),
                title=f"task {number}", status=status,
                completed_at=now - ago if status is TaskStatus.COMPLETED else None, token_count=pick([0, 5, 2**20]),
                token_budget=pick([None, 0, 2**20]), **self.here,
            )  # fmt: skip
        yield from logs(self, crews, agents)
        yield from self.inbox(agents)
        yield from self.told(crews, agents)

    def told(self, crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
        pick = self.random.choice
        by = {"actor_type": "system", "actor_id": "x", "from_workspace_id": self.workspace.id, "entity_type": "issue"}
        for person in self.people[:3]:
            for _ in range(9):
                read = self.maybe(self.time())
                yield Notification(
                    user_id=person.user_id, action=pick(["assigned", "commented"]), entity_title=self.text(),
                    read_at=read, created_at=self.time(), **by,
                )  # fmt: skip
        for number in range(48):
            kind, status = pick(list(ApprovalKind)), pick(list(ApprovalStatus)[:2])
            crew, agent = (pick(crews[:3]), pick(agents[:3])) if number % 4 else (pick(crews), pick(agents))
            ids = [crew.id, agent.id] if number % 2 else [self.maybe(crew.id) or "", self.maybe(agent.id) or ""]
            whose: dict[str, Any] = {"crew_id": ids[0], "agent_id": ids[1]}
            yield Approval(kind=kind, status=status, reason=self.text(), created_at=self.time(), **whose, **self.here)
            agent_id = self.maybe(agent.id)
            yield ApprovalGate(pattern=self.text(), agent_id=agent_id, created_at=self.time(), **self.here)
        endpoints = [
            WebhookEndpoint(name=f"n{number}", url="u", event_types=["*"], **self.stamps(), **self.here)
            for number in range(6)
        ]
        yield from endpoints
        for number in range(30):
            yield WebhookReceipt(
                agent_id=pick(agents[:2]).id, key=self.text(), event=self.text(), source=self.text(),
                scheme="body_only", run_id=new_id(), created_at=self.time(), result=pick(list(WebhookResult)),
                **self.here,
            )  # fmt: skip
            yield from delivered(self, endpoints, number)

    def inbox(self, agents: list[Agent]) -> Iterator[SQLModel]:
        pick = self.random.choice
        for number in range(48):
            kind, source = pick(list(InboxKind)), f"source {number}"
            yield InboxItem(
                id=inbox_item_id(kind, source),
                kind=kind,
                source_id=source,
                target_user_id=self.maybe(pick(self.people).user_id),
                target_role=self.maybe(pick(list(Role))),
                title=self.text(),
                body_md=self.maybe(self.text()),
                sender_type=SenderType.agent,
                sender_id=self.maybe(pick(agents[:4]).id),
                state=pick(list(InboxState)),
                payload=self.maybe({"t": self.text()}),
                read_at=self.maybe(self.time()),
                **self.stamps(),
                **self.here,
            )


def fitted(row: SQLModel) -> SQLModel:
    """Each text as long as its column takes."""
    for name, value in row.__dict__.items():
        column = table_of(type(row)).c.get(name)
        most = None if column is None else most_characters(column)
        if isinstance(value, str) and most is not None and len(value) > most:
            row.__dict__[name] = value[:most]
    return row


async def sow(world: World, seed: int) -> None:
    """Both workspaces, with members that each of them knows."""
    people = list(world.people.values())
    for number, workspace in enumerate((world.workspace, world.other)):
        known = await world.database.fetch("SELECT user_id FROM memberships WHERE workspace_id = $1", workspace.id)
        sower = Sower(seed + number, workspace, people, {row["user_id"] for row in known})
        await world.add(*map(fitted, sower.rows()))
    await world.add(
        *[
            SecurityLog(user_id=world.owner.user_id, action="session.created", entity_type="SESSION", created_at=START)
            for _ in range(5)
        ]
    )
    # one person in both workspaces, and a deleted workspace that still has its members
    gone = Workspace(name="Gone", slug="gone", deleted_at=START)
    times = {"created_at": START, "updated_at": START, "accepted_at": START}
    both = Membership(workspace_id=world.other.id, user_id=world.owner.user_id, role=Role.VIEWER, **times)
    await world.add(
        gone,
        both,
        Membership(workspace_id=gone.id, user_id=world.owner.user_id, role=Role.OWNER, **times),
    )
