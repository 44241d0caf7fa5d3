"""One row, or two where two matter, of everything an operation can name by id.

An entity's key is what its id is called: `crew` for `crew_id`. A row has no null where the table allows a value, so that shapes are compared
on values. A new table costs one function here.
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_type_hints

from sqlmodel import SQLModel

from models.agents import Agent, AgentRole, AgentStatus, LeadMode, LlmProvider
from models.auth import CliToken, Session
from models.base import new_id
from models.chats import Chat, ChatOrigin, ChatReadCursor, Message, MessageRole
from models.credentials import AgentCredential
from models.crews import Crew, CrewConnection, CrewMember
from models.integrations import CrewIntegration, ToolBinding
from models.kernel import AuditLog
from models.labels import Label
from models.missions import Assignment, AssignmentStatus, Mission, MissionTask
from models.runs import Run, RunFrame, RunStatus
from models.skills import AgentSkill
from models.workspaces import Invitation, Membership, Role, Workspace
from tests.world import Person, now

Factory = Callable[["Plot"], SQLModel]
ENTITIES: dict[str, Factory] = {}
MODELS: dict[str, type[SQLModel]] = {}


class Plot:
    """A workspace and its rows, made as they are asked for: `plot["agent"]` makes the crew first."""

    def __init__(self, workspace: Workspace, owner: Person, second: Person | None = None) -> None:
        self.workspace, self.owner = workspace, owner
        self.second = second or owner
        self.rows: dict[str, SQLModel] = {"workspace": workspace}

    def __getitem__(self, key: str) -> Any:
        if key not in self.rows:
            made = ENTITIES[key](self)
            self.rows[key] = made  # after the rows that it needed
        return self.rows[key]

    @property
    def here(self) -> dict[str, Any]:
        return {"workspace_id": self.workspace.id}

    def ids(self) -> set[str]:
        """Of every row that has one, and of the second person."""
        return {row.id for row in self.rows.values() if hasattr(row, "id")} | {self.second.user_id}

    def all(self) -> list[SQLModel]:
        """Every row, in an order that satisfies the foreign keys."""
        for key in ENTITIES:
            self[key]
        return [row for key, row in self.rows.items() if key != "workspace"]


def entity(factory: Factory) -> Factory:
    key = factory.__name__
    ENTITIES[key] = factory
    MODELS[key] = get_type_hints(factory)["return"]
    return factory


# ---- identity ----------------------------------------------------------------------------------------------------------


@entity
def session(plot: Plot) -> Session:
    return Session(id="s_" + hashlib.sha256(plot.owner.user_id.encode()).hexdigest(), user_id=plot.owner.user_id, expires_at=now() + timedelta(days=1))


@entity
def cli_token(plot: Plot) -> CliToken:
    hash = hashlib.sha256(f"token of {plot.workspace.id}".encode()).hexdigest()
    return CliToken(user_id=plot.owner.user_id, name="laptop", token_hash=hash, expires_at=now() + timedelta(days=1), last_used_at=now())


# ---- workspaces --------------------------------------------------------------------------------------------------------


@entity
def membership(plot: Plot) -> Membership:
    """Of a person with no other part in the cases, who may be removed."""
    return Membership(user_id=plot.second.user_id, role=Role.MEMBER, **plot.here)


@entity
def invitation(plot: Plot) -> Invitation:
    token = hashlib.sha256(f"invitation to {plot.workspace.id}".encode()).hexdigest()
    expires = now() + timedelta(days=7)
    return Invitation(email="invited@example.com", role=Role.MEMBER, invited_by=plot.owner.user_id, token=token, expires_at=expires, **plot.here)


@entity
def label(plot: Plot) -> Label:
    return Label(name="storm", color="red", label_group="weather", **plot.here)


# ---- crews -------------------------------------------------------------------------------------------------------------


def _crew(plot: Plot, slug: str) -> Crew:
    return Crew(
        name=slug.title(),
        slug=slug,
        description="Keeps the engine running",
        color="#112233",
        icon="anchor",
        avatar_style="bottts",
        container_ttl_hours=4,
        allowed_domains=["example.com"],
        mcp_config_json="{}",
        created_by=plot.owner.user_id,
        **plot.here,
    )


@entity
def crew(plot: Plot) -> Crew:
    return _crew(plot, "engine")


@entity
def second_crew(plot: Plot) -> Crew:
    """Has neither members nor agents."""
    return _crew(plot, "deck")


@entity
def third_crew(plot: Plot) -> Crew:
    return _crew(plot, "bridge")


@entity
def crew_member(plot: Plot) -> CrewMember:
    return CrewMember(crew_id=plot["crew"].id, user_id=plot.owner.user_id, role=Role.VIEWER, **plot.here)


@entity
def crew_connection(plot: Plot) -> CrewConnection:
    return CrewConnection(from_crew_id=plot["crew"].id, to_crew_id=plot["second_crew"].id, **plot.here)


@entity
def crew_integration(plot: Plot) -> CrewIntegration:
    return CrewIntegration(crew_id=plot["crew"].id, name="charts", display_name="Charts", **plot.here)


@entity
def tool_binding(plot: Plot) -> ToolBinding:
    return ToolBinding(crew_integration_id=plot["crew_integration"].id, tool_name="plot", description="Draws", **plot.here)


# ---- agents ------------------------------------------------------------------------------------------------------------


def _agent(plot: Plot, slug: str, **changes: Any) -> Agent:
    given: dict[str, Any] = {
        "name": slug.title(),
        "slug": slug,
        "description": "An example",
        "role_title": "Engineer",
        "llm_provider": LlmProvider.ANTHROPIC,
        "llm_model": "model",
        "system_prompt": "Be brief",
        "avatar_seed": slug,
        "avatar_style": "bottts",
        "crew_id": plot["crew"].id,
        "created_by_user_id": plot.owner.user_id,
    }
    return Agent(**(given | changes), **plot.here)


@entity
def lead(plot: Plot) -> Agent:
    return _agent(plot, "lead", agent_role=AgentRole.LEAD, lead_mode=LeadMode.active)


@entity
def agent(plot: Plot) -> Agent:
    """Works for the lead."""
    return _agent(plot, "hand", parent_lead_id=plot["lead"].id)


@entity
def pending_agent(plot: Plot) -> Agent:
    """Hired, and waiting for an approval."""
    return _agent(
        plot,
        "pending",
        parent_lead_id=plot["lead"].id,
        status=AgentStatus.PENDING_REVIEW,
        ephemeral=True,
        expires_at=now() + timedelta(hours=1),
        hire_reason="Help",
    )


@entity
def ghost(plot: Plot) -> Agent:
    """Hired once; its time is over."""
    past = now() - timedelta(hours=1)
    return _agent(plot, "ghost", parent_lead_id=plot["lead"].id, ephemeral=True, expires_at=past, expired_at=past, hire_reason="Help")


@entity
def agent_skill(plot: Plot) -> AgentSkill:
    return AgentSkill(agent_id=plot["agent"].id, skill_id="sk_knots", config="{}", **plot.here)


@entity
def agent_credential(plot: Plot) -> AgentCredential:
    return AgentCredential(agent_id=plot["agent"].id, credential_id=new_id(), env_var_name="TOKEN", **plot.here)


# ---- work --------------------------------------------------------------------------------------------------------------


@entity
def chat(plot: Plot) -> Chat:
    return Chat(agent_id=plot["agent"].id, created_by=plot.owner.user_id, title="Weather", origin=ChatOrigin.UI, ended_at=now(), last_seq=2, **plot.here)


@entity
def second_chat(plot: Plot) -> Chat:
    """Nothing refers to it."""
    return Chat(agent_id=plot["agent"].id, created_by=plot.owner.user_id, title="Tides", **plot.here)


@entity
def message(plot: Plot) -> Message:
    """No message has a value in every column; this one has, so that shapes are compared on values."""
    return Message(
        chat_id=plot["chat"].id,
        seq=1,
        agent_id=plot["agent"].id,
        role=MessageRole.assistant,
        content="Rain",
        parts=[{"type": "text", "content": "Rain"}],
        tool_name="forecast",
        tool_summary="[tool: forecast]",
        data={"kind": "example"},
        author_user_id=plot.owner.user_id,
        **plot.here,
    )


@entity
def chat_read_cursor(plot: Plot) -> ChatReadCursor:
    return ChatReadCursor(user_id=plot.second.user_id, chat_id=plot["chat"].id, last_read_seq=0, **plot.here)


def _run(plot: Plot, **changes: Any) -> Run:
    given: dict[str, Any] = {"agent_id": plot["agent"].id, "triggered_by": plot.owner.user_id, "prompt": "Look out", "started_at": now()}
    return Run(**(given | changes), **plot.here)


@entity
def run(plot: Plot) -> Run:
    """It has ended."""
    ended = {"status": RunStatus.TIMEOUT, "finished_at": now(), "exit_code": 1, "error_message": "It took too long"}
    return _run(plot, chat_id=plot["chat"].id, max_turns=5, model="model", data={"tags": ["chat"], "model": "model"}, **ended)


@entity
def live_run(plot: Plot) -> Run:
    """A program elsewhere works on it, for the lead."""
    return _run(plot, agent_id=plot["lead"].id, leased_until=now() + timedelta(days=1))


@entity
def run_frame(plot: Plot) -> RunFrame:
    payload = {"type": "tool_call", "content": "forecast", "metadata": {"tool_name": "forecast", "tool_id": "t1"}}
    return RunFrame(chat_id=plot["chat"].id, seq=2, run_id=plot["run"].id, agent_id=plot["agent"].id, type="chat_event", payload=payload, **plot.here)


@entity
def mission(plot: Plot) -> Mission:
    trace = f"mission-{plot.workspace.id}"
    return Mission(crew_id=plot["crew"].id, lead_agent_id=plot["lead"].id, trace_id=trace, title="Sail", description="To the south", plan="Hoist", **plot.here)


@entity
def assignment(plot: Plot) -> Assignment:
    return Assignment(
        chat_id=plot["chat"].id,
        assigned_by_id=plot["lead"].id,
        assigned_to_id=plot["agent"].id,
        task="Hoist",
        status=AssignmentStatus.COMPLETED,
        result_summary="Hoisted",
        started_at=now(),
        finished_at=now(),
        **plot.here,
    )


@entity
def mission_task(plot: Plot) -> MissionTask:
    return MissionTask(mission_id=plot["mission"].id, assigned_agent_id=plot["agent"].id, assignment_id=plot["assignment"].id, title="Hoist", **plot.here)


@entity
def audit_log(plot: Plot) -> AuditLog:
    return AuditLog(user_id=plot.owner.user_id, action="crew.created", entity_type="CREW", entity_id=plot["crew"].id, data={"name": "Engine"}, **plot.here)
