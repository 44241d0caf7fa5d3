"""A workspace with a row in every table that belongs to one, and the plain SQL to store it."""

import json
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from models.actors import ActorType
from models.attention.approvals import Approval, ApprovalGate, ApprovalKind, ApprovalOutcome
from models.attention.inbox import InboxItem, InboxKind, inbox_item_id
from models.attention.notification_channels import ChannelType, NotificationChannel
from models.attention.notification_deliveries import (
    NotificationDelivery,
    NotificationPreference,
    NotificationSchedule,
    NotificationTemplate,
    PreferenceState,
)
from models.attention.push import PushKey, PushNotice, PushSubscription
from models.attention.webhook_endpoints import WebhookDelivery, WebhookEndpoint
from models.base import new_id, table_of
from models.kernel import AuditLog, JobStep, SecurityLog
from models.oversight.audit import AuditSeal, McpCallStatus, McpToolCall
from models.oversight.decision_links import DecisionKind, DecisionLink
from models.oversight.feature_flags import FeatureFlag, FeatureFlagOverride
from models.oversight.journal import JournalEntry
from models.oversight.keeper import KeeperRequest, KeeperRequestType
from models.people.auth import User
from models.people.gdpr import GdprAction, GdprActionType
from models.people.privacy import PeerAuditAction, PeerCard, PeerCardAudit, PeerConsent
from models.people.service_accounts import ServiceAccount, service_account_id
from models.people.workspaces import Invitation, Membership, Role, Workspace
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope, BudgetSpend, CallReservation, RunReservation
from models.resources.costs import CostDay, ModelCall
from models.resources.credential_bindings import BindingScope, CredentialBinding, CredentialField
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialCrew,
    CredentialEvent,
    CredentialEventType,
    CredentialRotation,
    CredentialType,
)
from models.resources.integrations import (
    AgentIntegration,
    CrewIntegration,
    IntegrationScope,
    ToolBinding,
    WorkspaceIntegration,
)
from models.resources.mcp_registry import McpRegistryServer
from models.resources.oauth import OAuthState
from models.resources.skills import AgentSkill, Skill, SkillProposal
from models.retention import RetentionKind, RetentionRule
from models.sealed import MARK, Sealed
from models.staff.agent_avatars import AgentAvatar
from models.staff.agents import Agent, AgentRole
from models.staff.assignments import Escalation, PeerConversation
from models.staff.chats import (
    AttachmentTotal,
    Chat,
    ChatAttachment,
    ChatParticipant,
    ChatReadCursor,
    Message,
    MessageReaction,
    MessageRole,
)
from models.staff.crews import Crew, CrewConnection, CrewMember
from models.staff.hooks import Hook, HookEvent, HookHandler
from models.staff.memory import MemoryConfig, MemoryProposal, MemoryText, MemoryTier, MemoryVersion
from models.staff.runners import Runner, RunnerCall
from models.staff.runs import Run, RunFrame, RunStep, RunTag
from models.staff.webhooks import WebhookReceipt
from models.work.issues import ActivityAction, IssueActivity, IssueComment, IssueLabel, IssueRelation, RelationType
from models.work.labels import Label
from models.work.missions import Assignment, Checkpoint, Mission, MissionTask, MissionType
from models.work.projects import Milestone, Project
from models.work.recurring_issues import RecurringIssue
from models.work.routine_runs import RoutineRun, RoutineRunStep, SignalWait, Waitpoint
from models.work.routine_schedules import RoutineSchedule
from models.work.routine_webhooks import RoutineDelivery, RoutineWebhook
from models.work.saved_routines import (
    RoutineStateEntry,
    RoutineStepOverride,
    RoutineTrustGrant,
    RoutineVersion,
    SavedRoutine,
)
from models.work.saved_views import SavedView
from models.work.templates import WorkflowTemplate
from models.work.triage_rules import MatchType, TriageRule
from models.work.work_pauses import WorkPause
from tests.generation.domains import CASES  # noqa: F401 - declares the entities
from tests.generation.entities import lacking, planted
from tests.world import Person, now

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def workspace_rows(name: str) -> list[SQLModel]:
    """In an order that satisfies the foreign keys; the user comes first, the workspace second. Tables that are not
    named here have the row of their domain's cases.
    """
    rows = _rows(name)
    user, workspace = rows[0], rows[1]
    assert isinstance(user, User)
    assert isinstance(workspace, Workspace)
    plot = planted(rows, workspace, Person(name, user.id, user.email, ""))
    return rows + [plot[key] for key in lacking(rows)]


def _rows(name: str) -> list[SQLModel]:
    user = User(email=f"{name}@example.org")
    workspace = Workspace(name=name, slug=name)
    here: dict[str, Any] = {"workspace_id": workspace.id}
    crew, other = Crew(name="Engine", slug="engine", created_by=user.id, **here), Crew(name="Deck", slug="deck", **here)
    led: dict[str, Any] = {"agent_role": AgentRole.LEAD, "created_by_user_id": user.id, **here}
    lead = Agent(name="Lead", slug="lead", crew_id=crew.id, **led)
    agent = Agent(name="Hand", slug="hand", crew_id=crew.id, parent_lead_id=lead.id, **here)
    chat = Chat(agent_id=lead.id, created_by=user.id, **here)
    guest: dict[str, Any] = {"email": "guest@example.org", "role": Role.MEMBER, "expires_at": now(), **here}
    change: dict[str, Any] = {"action": "crew.created", "entity_type": "CREW", "entity_id": crew.id, **here}
    service = User(id=service_account_id(), email=f"service-of-{name}@example.org")
    flag = FeatureFlag(key=f"sails-{name}")
    kept = {"type": CredentialType.SECRET, "value": Sealed(MARK + b"locked")}
    secret = Credential(name=f"key of {name}", **kept, **here)
    return [
        user,
        workspace,
        Membership(user_id=user.id, role=Role.OWNER, **here),
        Invitation(invited_by=user.id, token=f"token-{name}", **guest),
        AuditLog(user_id=user.id, data={"name": crew.name}, **change),
        SecurityLog(user_id=user.id, action="session.opened", entity_type="SESSION", data={"name": crew.name}),
        service,
        ServiceAccount(id=service.id, name="Ships", role=Role.MEMBER, created_by=user.id, **here),
        AuditSeal(
            number=1, first_seq=1, last_seq=2, rows=2, first_at=now(), last_at=now(), hash=b"h", signature=b"s", **here
        ),
        McpToolCall(agent_id=agent.id, mcp_server_id="charts", tool_name="plot", status=McpCallStatus.success, **here),
        McpRegistryServer(id=f"harbour/{name}", name=f"harbour/{name}", display_name=name, synced_at=now()),
        flag,
        FeatureFlagOverride(flag_id=flag.id, enabled=True, **here),
        crew,
        other,
        CrewMember(crew_id=crew.id, user_id=user.id, **here),
        CrewConnection(from_crew_id=crew.id, to_crew_id=other.id, **here),
        lead,
        agent,
        WorkflowTemplate(name=f"watches of {name}", template_json="[]", **here),
        *_taught(name, crew, agent),
        *_kept(name, crew, agent, user, secret),
        *_servers(name, crew, agent, secret),
        chat,
        *_talk(name, chat, user),
        AttachmentTotal(bytes=0, **here),  # which the next row changes
        ChatAttachment(chat_id=chat.id, crew_id=crew.id, folder="hand", name="a.txt", size=1, **here),
        *_remembered(agent, user),
        *_mission(crew, lead, agent, chat),
        *_budget(agent),
        *_runners(name, agent),
        *_routine(crew, agent, user),
        WebhookReceipt(agent_id=agent.id, key="k", event="ping", source="ci", scheme="body_only", run_id="r", **here),
        ModelCall(run_id=f"run-{name}", step="1 model", agent_id=agent.id, provider="p", model="m", **here),
        CostDay(day=date(2026, 1, 1), agent_id=agent.id, crew_id=crew.id, model="m", slot=0, **here),
        *_issues(crew, lead, user),
        KeeperRequest(request_type=KeeperRequestType.access, intent="Read", **here),
        SavedView(user_id=user.id, name="Storms", filters_json="{}", **here),
    ]


def _taught(name: str, crew: Crew, agent: Agent) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": agent.workspace_id}
    skill = Skill(made_in=agent.workspace_id, name=name, name_key=name, slug=name, display_name=name)
    return [
        skill,
        AgentSkill(agent_id=agent.id, skill_id=skill.id, **here),
        AgentAvatar(agent_id=agent.id, svg="<svg/>", **here),
        SkillProposal(
            crew_id=crew.id, file_name=f"skill-{name}.md", name="x", description="Use it", content="x", **here
        ),
    ]


def _kept(name: str, crew: Crew, agent: Agent, user: User, secret: Credential) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": agent.workspace_id}
    return [
        secret,
        CredentialCrew(credential_id=secret.id, crew_id=crew.id, **here),
        OAuthState(
            state_hash=f"state-{name}",
            credential_id=secret.id,
            user_id=user.id,
            redirect_uri="https://x.example",
            verifier=Sealed(MARK + b"locked"),
            **here,
        ),
        CredentialEvent(credential_id=secret.id, event_type=CredentialEventType.CREATED, **here),
        CredentialRotation(credential_id=secret.id, grace_seconds=60, expires_at=now(), **here),
        AgentCredential(agent_id=agent.id, credential_id=secret.id, env_var_name="GH_TOKEN", **here),
        CredentialBinding(credential_id=secret.id, scope=BindingScope.CREW, crew_id=crew.id, slot="GH_TOKEN", **here),
        CredentialBinding(
            credential_id=secret.id, scope=BindingScope.AGENT, agent_id=agent.id, slot="GH_TOKEN", **here
        ),
        CredentialField(credential_id=secret.id, key="account", is_secret=False, value="harbour", **here),
    ]


def _servers(name: str, crew: Crew, agent: Agent, secret: Credential) -> list[SQLModel]:
    here = {"workspace_id": agent.workspace_id}
    server = CrewIntegration(crew_id=crew.id, name=f"charts-{name}", display_name="Charts", **here)
    bound = {"mcp_server_id": server.id, "mcp_server_scope": IntegrationScope.crew, "credential_id": secret.id}
    return [
        WorkspaceIntegration(name="charts", display_name="Charts", **here),
        server,
        AgentIntegration(agent_id=agent.id, **bound, **here),
        ToolBinding(crew_integration_id=server.id, tool_name=f"plot-{server.name}", **here),
    ]


def _remembered(agent: Agent, user: User) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": agent.workspace_id}
    about: dict[str, Any] = {
        "user_slug": "user",
        "path": "agent:hand/peers/user.md",
        "content": "Tea",
        "bytes": 3,
        **here,
    }
    read: dict[str, Any] = {"action": PeerAuditAction.read, "actor_kind": "user", **here}
    return [
        PeerCard(agent_id=agent.id, user_id=user.id, **about),
        PeerConsent(user_id=user.id, opted_out=False, **here),
        PeerCardAudit(actor_user_id=user.id, target_user_id=user.id, **read),
        MemoryVersion(path="agent:hand/AGENT.md", tier=MemoryTier.agent, sha256="0" * 64, bytes=3, **here),
        MemoryText(crew_id=agent.crew_id, path="agent:hand/AGENT.md", sha256="0" * 64, content="Tea", **here),
        MemoryProposal(crew_id=agent.crew_id, rules=[], **here),
        MemoryConfig(document={}, **here),
        RetentionRule(kind=RetentionKind.events, days=3, **here),
        GdprAction(action=GdprActionType.export, actor_user_id=user.id, subject_id=user.id, **here),
    ]


def _budget(agent: Agent) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": agent.workspace_id}
    run = Run(agent_id=agent.id, prompt="Hoist", **here)
    amounts = {"amount_micros": 10, "reservation_micros": 1}
    budget = Budget(scope=BudgetScope.agent, agent_id=agent.id, period=BudgetPeriod.day, **amounts, **here)
    return [
        run,
        Budget(scope=BudgetScope.crew, crew_id=agent.crew_id, period=BudgetPeriod.day, **amounts, **here),
        budget,
        BudgetSpend(budget_id=budget.id, span="total", slot=0, micros=1, **here),
        CallReservation(call_id=new_id(), budget_id=budget.id, micros=1, expires_at=now(), **here),
        RunReservation(run_id=run.id, budget_id=budget.id, granted_micros=1, micros=1, **here),
    ]


def _runners(name: str, agent: Agent) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": agent.workspace_id}
    run = Run(agent_id=agent.id, prompt="Hoist", **here)
    of_crew = Runner(name="Quay", crew_id=agent.crew_id, token_hash=f"quay of {name}", **here)
    sent = {"run_id": run.id, "agent_id": agent.id, "request": Sealed(MARK + b"locked")}
    return [
        run,
        of_crew,
        Runner(name="Bench", agent_id=agent.id, token_hash=f"bench of {name}", **here),
        RunnerCall(runner_id=of_crew.id, **sent, **here),
    ]


def _routine(crew: Crew, agent: Agent, user: User) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": agent.workspace_id}
    authors = {"author_crew_id": crew.id, "author_agent_id": agent.id, "author_user_id": user.id}
    routine = SavedRoutine(slug="tides", definition_hash="0" * 64, manifest={}, **authors, **here)
    said: dict[str, Any] = {"definition_hash": "0" * 64, "source": "{}", "definition": {}}
    of_routine: dict[str, Any] = {"routine_id": routine.id, "name": "Neap", "run_as_id": user.id, **here}
    schedule = RoutineSchedule(
        cron_expr="@daily",
        next_run_at=datetime(2999, 1, 1, tzinfo=UTC),
        wake_routine_id=routine.id,
        crew_id=crew.id,
        **of_routine,
    )
    webhook = RoutineWebhook(token_hash=f"hash of {routine.id}"[:64], **of_routine)
    run = RoutineRun(
        routine_id=routine.id,
        definition_hash="0" * 64,
        schedule_id=schedule.id,
        webhook_id=webhook.id,
        invoking_user_id=user.id,
        invoking_crew_id=crew.id,
        invoking_agent_id=agent.id,
        **here,
    )
    of_run: dict[str, Any] = {"routine_run_id": run.id, "path": "a", **here}
    return [
        routine,
        schedule,
        webhook,
        run,
        RoutineDelivery(webhook_id=webhook.id, key="k", run_id=run.id, **here),
        RoutineRunStep(step_type="transform", output="Ahoy", **of_run),
        Waitpoint(timeout_at=datetime(2026, 1, 1, tzinfo=UTC), decided_by_user_id=user.id, **of_run),
        SignalWait(event_type="docked", **of_run),
        RoutineVersion(routine_id=routine.id, number=1, author_id=user.id, **said, **here),
        RoutineStepOverride(routine_id=routine.id, step_id="a", prompt="Hoist", **here),
        RoutineStateEntry(routine_id=routine.id, key="n", value="1", **here),
        RoutineTrustGrant(
            routine_id=routine.id, step_id="a", definition_hash="0" * 64, granted_by_user_id=user.id, **here
        ),
    ]


def _talk(name: str, chat: Chat, user: User) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": chat.workspace_id}
    run = Run(agent_id=chat.agent_id, chat_id=chat.id, prompt="Hoist", **here)
    asked: dict[str, Any] = {"role": MessageRole.user, "content": "Hoist", "author_user_id": user.id, **here}
    notice: dict[str, Any] = {"id": inbox_item_id(InboxKind.message, name), "kind": InboxKind.message, **here}
    return [
        Message(chat_id=chat.id, seq=1, agent_id=chat.agent_id, **asked),
        ChatReadCursor(chat_id=chat.id, user_id=user.id, last_read_seq=1, **here),
        ChatParticipant(chat_id=chat.id, user_id=user.id, **here),
        MessageReaction(chat_id=chat.id, message_id="msg_1_0", emoji="👍", user_id=user.id, **here),
        JournalEntry(entry_type="file.written", summary="The log", **here),
        Approval(kind=ApprovalKind.custom, reason="Why", **here),
        ApprovalOutcome(tool="deploy", approved=True, **here),
        ApprovalGate(pattern="deploy", **here),
        DecisionLink(
            channel_id="c",
            subject_id="s",
            source_id=name,
            user_id=user.id,
            token_hash=new_id(),
            expires_at=now(),
            kind=DecisionKind.approval,
            **here,
        ),
        NotificationChannel(type=ChannelType.webhook, url="https://example.org", events=["run.failed"], **here),
        *_notified(user, here),
        Hook(event=HookEvent.pre_tool_call, handler_kind=HookHandler.subagent, **here),
        (hook := WebhookEndpoint(name=name, url="https://example.org", event_types=["*"], **here)),
        WebhookDelivery(
            endpoint_id=hook.id, event_type="x", subject="x", payload={}, xid=1, seq=1, happened_at=now(), **here
        ),
        PushKey(public="point", private=Sealed(MARK + b"locked")),
        (
            phone := PushSubscription(
                user_id=user.id,
                label="Phone",
                endpoint="https://example.org",
                p256dh="point",
                position="0",
                auth=Sealed(MARK + b"locked"),
                **here,
            )
        ),
        PushNotice(subscription_id=phone.id, entry="approval:one", **here),
        InboxItem(source_id=name, target_user_id=user.id, title="Hand answered", **notice),
        run,
        RunFrame(
            chat_id=chat.id,
            seq=len(name),
            run_id=run.id,
            type="run_begin",
            payload={"from_seq": 0},
            created_at=now(),
            **here,
        ),
        RunTag(tag="chat", began_at=now(), run_id=run.id, **here),
        RunStep(run_id=run.id, name=f"answer {name}", lease=1, **here),
        JobStep(root=f"tests.hoist:{name}", step="1/hoist", **here),
    ]


def _notified(user: User, here: dict[str, Any]) -> list[SQLModel]:
    return [
        NotificationPreference(user_id=user.id, channel_id="all", category="*", state=PreferenceState.off, **here),
        NotificationSchedule(user_id=user.id, **here),
        NotificationTemplate(category="memory", **here),
        NotificationDelivery(
            channel_id="all", category="memory", dedup_key="one", source_kind="x", source_id="x", title="x", **here
        ),
    ]


def _mission(crew: Crew, lead: Agent, agent: Agent, chat: Chat) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": crew.workspace_id}
    mission = Mission(crew_id=crew.id, lead_agent_id=lead.id, trace_id=f"mission-{new_id()}", title="Sail", **here)
    assignment = Assignment(chat_id=chat.id, assigned_by_id=lead.id, assigned_to_id=agent.id, task="Hoist", **here)
    task: dict[str, Any] = {"assigned_agent_id": agent.id, "title": "Hoist", "depends_on": [], **here}
    asked = PeerConversation(from_agent_id=lead.id, to_agent_id=agent.id, chat_id=chat.id, question="Ready?", **here)
    told = Escalation(
        crew_id=crew.id, from_agent_id=agent.id, chat_id=chat.id, peer_conversation_id=asked.id, reason="Wind", **here
    )
    pause = WorkPause(agent_id=agent.id, mission_id=mission.id, runs=5, **here)
    amounts = {"amount_micros": 10, "reservation_micros": 1}
    return [
        mission,
        pause,
        Budget(scope=BudgetScope.mission, mission_id=mission.id, period=BudgetPeriod.total, **amounts, **here),
        assignment,
        asked,
        told,
        Checkpoint(crew_id=crew.id, mission_id=mission.id, journal_cursor="j1", state={}, **here),
        MissionTask(mission_id=mission.id, assignment_id=assignment.id, **task),
    ]


def _issues(crew: Crew, lead: Agent, user: User) -> list[SQLModel]:
    here: dict[str, Any] = {"workspace_id": crew.workspace_id}
    project = Project(name="Voyage", slug="voyage", **here)
    label = Label(name="storm", color="red", **here)
    led = {"crew_id": crew.id, "lead_agent_id": lead.id, "mission_type": MissionType.issue, **here}
    hull, leak = (
        Mission(trace_id=f"issue-{new_id()}", title="Leak", number=number, identifier=f"ENG-{number}", **led)
        for number in (1, 2)
    )
    raised: dict[str, Any] = {"action": ActivityAction.priority_changed, "details": "high", **here}
    return [
        project,
        Milestone(project_id=project.id, name="Half way", **here),
        label,
        hull,
        leak,
        IssueLabel(mission_id=hull.id, label_id=label.id, **here),
        IssueComment(mission_id=hull.id, author_type=ActorType.user, author_id=user.id, body="Wet", **here),
        IssueRelation(source_id=hull.id, target_id=leak.id, relation_type=RelationType.blocks, **here),
        IssueActivity(mission_id=hull.id, actor_type=ActorType.user, actor_id=user.id, **raised),
        TriageRule(name="Leaks", pattern="leak", match_type=MatchType.contains, position=1, **here),
        RecurringIssue(crew_id=crew.id, title="Caulk", cron_expression="0 9 * * 1", created_by=user.id, **here),
    ]


async def insert(connection: Connection, *rows: SQLModel) -> None:
    for row in rows:
        table = table_of(type(row))
        columns = [column for column in table.columns if column.name in row.__dict__]
        values = [
            json.dumps(row.__dict__[c.name]) if isinstance(c.type, JSONB) else row.__dict__[c.name] for c in columns
        ]
        names, places = ", ".join(c.name for c in columns), ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        await connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({places})", *values)


def of(rows: list[SQLModel], model: type[SQLModel]) -> Any:
    """The first row of that kind."""
    return next(row for row in rows if isinstance(row, model))
