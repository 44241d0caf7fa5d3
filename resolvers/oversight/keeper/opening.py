"""A request is put down before anybody judges it: who asks, for what, and whether that may be asked at all."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.bounds import cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.oversight.keeper import COMMAND, KeeperRequest, KeeperRequestType
from models.resources.credentials import AgentCredential, Credential, CredentialStatus
from models.staff.agents import Agent
from models.staff.chats import Message, MessageRole
from models.staff.crews import Crew
from models.staff.runs import BY_WEBHOOK, Run, RunStatus
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Auth,
    Code,
    Context,
    Description,
    Emptied,
    Id,
    Input,
    Int,
    Output,
    Reason,
    Refusal,
    Text,
    across_workspaces,
    command,
    forbidden,
)
from resolvers.oversight.keeper.prompts import LONGEST_MESSAGE, Asking
from resolvers.rules.redaction import Redactor

REMEMBERED: Final = 10  # messages of the conversation
SPEAKERS: Final = (MessageRole.user, MessageRole.assistant)
NO_AGENT: Final = "Agent not found"
NO_CREDENTIAL: Final = "Credential not found"
OTHER_WORKSPACE: Final = "The agent belongs to another workspace"
OTHER_CONTAINER: Final = "The container does not belong to the agent's crew"
OTHER_CREW: Final = "The agent belongs to another crew"
Required = Annotated[Id, Field(min_length=1)]


class AskKeeper(Input):
    """`credential_name` is the credential's variable in the agent's environment; `credential_id` takes precedence.
    `intent` is the purpose for which the agent wants to use the credential. `run_id` is the requesting run; the
    keeper reads its conversation, or, if absent, that of the agent's only active run.
    """

    requesting_agent_id: Required
    requesting_crew_id: Required
    workspace_id: Required
    credential_id: Emptied[Id] = None
    credential_name: Emptied[Text] = None
    intent: Annotated[Description, Field(min_length=1)]
    task_id: Emptied[Id] = None
    run_id: Emptied[Id] = None


class OpenRequest(AskKeeper):
    request_type: KeeperRequestType
    container_id: Text | None = None
    command: Annotated[str | None, Field(strict=True, max_length=COMMAND)] = None


class OpenedRequest(Output):
    """What is known of a request that is PENDING."""

    request_id: str
    workspace_id: str
    agent_id: str
    agent_name: str
    agent_slug: str
    sandbox_crew_id: str | None
    crew_id: str
    crew_name: str
    credential_id: str
    credential_name: str
    level: Int
    variable: str
    conversation: list[tuple[str, str]]


@command(
    "keeper.open",
    Action.NONE,
    auth=Auth.INTERNAL,
    errors=(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND),
    surfaces=NO_SURFACE,
)
async def open_request(ctx: Context, data: OpenRequest) -> OpenedRequest:
    """Send a request to the keeper.

    In a transaction of its own: whatever becomes of the verdict, that somebody has asked is known.
    """
    agent = await _agent(ctx, data)
    held, credential = await _held(ctx, agent, data)
    if data.container_id is not None and data.container_id != (agent.crew_id or agent.id):
        raise forbidden(OTHER_CONTAINER)
    crew = await ctx.select(Crew, col(Crew.id) == agent.crew_id, including_deleted=True).first()
    request = KeeperRequest(
        request_type=data.request_type,
        agent_id=agent.id,
        crew_id=data.requesting_crew_id,
        credential_id=credential.id,
        task_id=data.task_id or "",
        intent=Redactor().redact(data.intent),
        command=None if data.command is None else Redactor().redact(data.command)[:COMMAND],
    )
    ctx.record(request)
    if data.request_type is KeeperRequestType.access:
        ctx.record(_asked(request, agent, credential))
    return OpenedRequest(
        request_id=request.id,
        workspace_id=agent.workspace_id,
        agent_id=agent.id,
        agent_name=agent.name,
        agent_slug=agent.slug,
        sandbox_crew_id=agent.crew_id,
        crew_id=data.requesting_crew_id,
        crew_name="" if crew is None else crew.name,
        credential_id=credential.id,
        credential_name=credential.name,
        level=credential.security_level,
        variable=held.env_var_name,
        conversation=await _conversation(ctx, agent, data.run_id),
    )


async def opened(ctx: Context, data: AskKeeper, request_type: KeeperRequestType, **more: Any) -> OpenedRequest:
    """For a command that has not begun: it judges outside any transaction."""
    fields = AskKeeper.model_fields
    raw = {name: value for name in fields if (value := getattr(data, name)) is not None}
    answer = await open_request(ctx.caller, raw | {"request_type": request_type.value} | more, place=ctx.workspace_id)
    return OpenedRequest.model_validate(orjson.loads(answer.body or b"{}"))


def asking_of(
    opened: OpenedRequest, intent: str, command: str | None = None, files: Mapping[str, bytes] | None = None
) -> Asking:
    named = (opened.agent_name, opened.crew_name, opened.credential_name, opened.level)
    return Asking(*named, intent, command, opened.conversation, files or {})


async def _agent(ctx: Context, data: AskKeeper) -> Agent:
    agent = await ctx.select(Agent, col(Agent.id) == data.requesting_agent_id).first()
    if agent is None:
        place = ctx.workspace_id

        async def elsewhere(rows: AcrossWorkspaces) -> Any:
            return await rows.everywhere.exists(
                Agent, col(Agent.id) == data.requesting_agent_id, col(Agent.workspace_id) != place
            )

        if await across_workspaces(elsewhere):
            raise forbidden(OTHER_WORKSPACE)
        raise Refusal(Code.UNAUTHENTICATED, NO_AGENT, reason=Reason.no_credentials)
    if agent.crew_id is not None and agent.crew_id != data.requesting_crew_id:
        raise forbidden(OTHER_CREW)
    return agent


async def _held(ctx: Context, agent: Agent, data: AskKeeper) -> tuple[AgentCredential, Credential]:
    """What is assigned to the agent, and can be used: of several under one name the preferred one."""
    if data.credential_id:
        wanted: Any = col(AgentCredential.credential_id) == data.credential_id
    elif data.credential_name:
        wanted = col(AgentCredential.env_var_name) == data.credential_name
    else:
        problem = "or credential_name is required"
        raise Refusal(Code.BAD_REQUEST, f"credential_id: {problem}", fields={"credential_id": problem})
    order = (col(AgentCredential.priority), col(AgentCredential.id))
    held = await ctx.select(AgentCredential, col(AgentCredential.agent_id) == agent.id, wanted).order_by(*order).all()
    for each in held:
        usable = (col(Credential.id) == each.credential_id, col(Credential.status) == CredentialStatus.ACTIVE)
        credential = await ctx.select(Credential, *usable).first()
        if credential is not None:
            return each, credential
    raise Refusal(Code.NOT_FOUND, NO_CREDENTIAL)


async def _conversation(ctx: Context, agent: Agent, run_id: str | None) -> list[tuple[str, str]]:
    """The end of the run's own chat, without what tools said. A request that names no run is of the only one that the
    agent works at: of several nobody knows which, and no other chat is any evidence.
    """
    works = [col(Run.agent_id) == agent.id, col(Run.status) == RunStatus.RUNNING, col(Run.started_at).is_not(None)]
    works.append(col(Run.id) == run_id if run_id else col(Run.waits_for).is_(None))
    runs = await ctx.select(Run, *works, including_hidden=True).limit(2).all()
    if len(runs) != 1 or runs[0].chat_id is None:
        return []
    said = [col(Message.chat_id) == runs[0].chat_id, col(Message.role).in_(SPEAKERS)]
    if runs[0].trigger_type == BY_WEBHOOK:  # its deliveries share a chat, and each is of somebody else
        said.append(col(Message.seq) == runs[0].message_seq)
    newest = await ctx.select(Message, *said).order_by(col(Message.seq).desc()).limit(REMEMBERED).all()
    redactor = Redactor()  # before it is cut: half a secret is none that a pattern knows
    return [
        (message.role.value, cut(redactor.redact(message.content), LONGEST_MESSAGE)) for message in reversed(newest)
    ]


def _asked(request: KeeperRequest, agent: Agent, credential: Credential) -> JournalEntry:
    return JournalEntry(
        entry_type="keeper.request",
        severity=Severity.notice,
        actor_type=JournalActor.agent,
        actor_id=agent.id,
        crew_id=request.crew_id,
        agent_id=agent.id,
        summary=f"{agent.name} requested credential {credential.name}",
        payload={
            "request_id": request.id, "credential_id": credential.id, "credential_name": credential.name,
            "security_level": credential.security_level, "intent": request.intent, "task_id": request.task_id,
        },
        refs={"keeper_request_id": request.id, "credential_id": credential.id},
    )  # fmt: skip
