"""Requests for a credential: stored before they are judged, and decided once.

`decide` writes a verdict to the log, the journal and the inbox, and emits the event. A job denies the requests whose
process died before a decision.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlalchemy import func
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, LINE, cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.oversight.keeper import COMMAND, KEEPER_STATES, KeeperDecision, KeeperRequest, KeeperRequestType, shortened
from models.people.workspaces import Role
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.chats import Message, MessageRole
from models.staff.crews import Crew
from models.staff.runs import BY_WEBHOOK, Run, RunStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put
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
    clock,
    command,
    constant,
    forbidden,
    interval,
    job,
)
from resolvers.kernel.store.across import waiting
from resolvers.oversight.keeper.events import KeeperAccessDecided, KeeperExecutionDecided
from resolvers.oversight.keeper.verdicts import LONGEST_MESSAGE, Asking, Verdict, denied
from resolvers.resources.credentials.delivery import delivered, offered_to
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
    """The facts about a PENDING request."""

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

    It commits its own transaction, so the request is recorded regardless of the verdict.
    """
    agent = await _agent(ctx, data)
    variable, credential = await _held(ctx, agent, data)
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
        variable=variable,
        conversation=await _conversation(ctx, agent, data.run_id),
    )


async def opened(ctx: Context, data: AskKeeper, request_type: KeeperRequestType, **more: Any) -> OpenedRequest:
    """For a command that has not begun, so it judges outside any transaction."""
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


async def _held(ctx: Context, agent: Agent, data: AskKeeper) -> tuple[str, Credential]:
    """The agent's usable credential and its variable: among several with one name the preferred one."""
    if not data.credential_id and not data.credential_name:
        problem = "or credential_name is required"
        raise Refusal(Code.BAD_REQUEST, f"credential_id: {problem}", fields={"credential_id": problem})
    for each in delivered(await ctx.report(offered_to(ctx.table, agent.id)))[0]:
        named = data.credential_name in (each.asked, each.variable)
        if each.row["id"] == data.credential_id if data.credential_id else named:
            return each.variable or each.asked, await ctx.get(Credential, each.row["id"], missing=NO_CREDENTIAL)
    raise Refusal(Code.NOT_FOUND, NO_CREDENTIAL)


async def _conversation(ctx: Context, agent: Agent, run_id: str | None) -> list[tuple[str, str]]:
    """The end of the run's own chat, without output of tools. A request without a run belongs to the agent's only live
    run; if there are several, the run is unknown, and no other chat counts as evidence.
    """
    works = [col(Run.agent_id) == agent.id, col(Run.status) == RunStatus.RUNNING, col(Run.started_at).is_not(None)]
    works.append(col(Run.id) == run_id if run_id else col(Run.waits_for).is_(None))
    runs = await ctx.select(Run, *works, including_hidden=True).limit(2).all()
    if len(runs) != 1 or runs[0].chat_id is None:
        return []
    said = [col(Message.chat_id) == runs[0].chat_id, col(Message.role).in_(SPEAKERS)]
    if runs[0].trigger_type == BY_WEBHOOK:  # its deliveries share a chat, and each is from another sender
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


KEEPER: Final = "keeper"
SENDERS: Final = {
    KEEPER: "Keeper",
    "keeper_skill_review": "Skill Curator",
    "keeper_behavior": "Behavior Monitor",
    "keeper_memory_health": "Memory Health",
    "keeper_negative_learning": "Negative Learning",
}


async def decide(ctx: Context, opened: OpenedRequest, verdict: Verdict, exit_code: int | None = None) -> KeeperRequest:
    """The request is PENDING no more. The operation declares the event of its type, and InboxItemUpdated."""
    kept = Redactor()
    request = await ctx.move(
        KEEPER_STATES,
        opened.request_id,
        verdict.decision,
        reason=cut(verdict.reason, DESCRIPTION),
        risk_score=verdict.risk,
        exit_code=exit_code,
        prompt=None if verdict.prompt is None else shortened(kept.redact(verdict.prompt)),
        answer=None if verdict.answer is None else shortened(kept.redact(verdict.answer)),
    )
    _announce(ctx, request, opened)
    if request.request_type is KeeperRequestType.access:
        ctx.record(_decided(request, opened))
        if verdict.decision is KeeperDecision.ESCALATE:
            await _escalate(ctx, request, opened)
    return request


def _announce(ctx: Context, request: KeeperRequest, opened: OpenedRequest) -> None:
    told: dict[str, Any] = {
        "request_id": request.id,
        "request_type": request.request_type.value,
        "agent_name": opened.agent_name,
        "credential_name": opened.credential_name,
        "intent": request.intent,
        "decision": request.decision,
        "reason": request.reason,
        "risk_score": request.risk_score,
        "decided_at": request.decided_at,
    }
    if request.request_type is KeeperRequestType.access:
        ctx.emit(KeeperAccessDecided(**told))
    else:
        ran = {} if request.exit_code is None else {"exit_code": request.exit_code}
        ctx.emit(KeeperExecutionDecided(**told, command=request.command or "", **ran))


def _decided(request: KeeperRequest, opened: OpenedRequest) -> JournalEntry:
    decision = request.decision
    return JournalEntry(
        entry_type="keeper.decision",
        severity=Severity.warn if decision is KeeperDecision.DENY else Severity.notice,
        actor_type=JournalActor.keeper,
        actor_id=KEEPER,
        crew_id=request.crew_id,
        agent_id=request.agent_id,
        summary=f"keeper {decision} credential {opened.credential_name} for {opened.agent_name}"
        f" (risk {request.risk_score})",
        payload={
            "request_id": request.id, "credential_id": request.credential_id,
            "credential_name": opened.credential_name, "security_level": opened.level,
            "decision": decision, "reason": request.reason, "risk_score": request.risk_score,
        },
        refs={"keeper_request_id": request.id, "credential_id": request.credential_id},
    )  # fmt: skip


async def _escalate(ctx: Context, request: KeeperRequest, opened: OpenedRequest) -> None:
    asked = f"{opened.agent_name} requested {opened.credential_name}"
    await tell_people(
        ctx,
        KEEPER,
        request.id,
        title=f"Keeper escalation: {asked} (risk {request.risk_score})",
        body=request.reason or "",
        priority=InboxPriority.high,
        blocking=True,
        payload={
            "request_id": request.id, "request_type": request.request_type, "agent_id": request.agent_id,
            "agent_name": opened.agent_name, "credential_id": request.credential_id,
            "credential_name": opened.credential_name, "security_level": opened.level, "intent": request.intent,
            "reason": request.reason, "risk_score": request.risk_score,
        },
    )  # fmt: skip


async def tell_people(
    ctx: Context,
    sender: str,
    source_id: str,
    *,
    title: str,
    body: str,
    priority: InboxPriority,
    blocking: bool,
    payload: dict[str, Any],
) -> None:
    """An item for managers. The operation declares InboxItemUpdated."""
    await put(
        ctx,
        InboxKind.escalation,
        source_id,
        subject=None,
        target_role=Role.MANAGER,
        title=cut(title, LINE * 3),
        body_md=cut(body, DESCRIPTION),
        sender_type=SenderType.system,
        sender_id=sender,
        sender_name=SENDERS[sender],
        priority=priority,
        blocking=blocking,
        payload=payload,
    )


MOST: Final = 100  # jobs that a tick enqueues
UNDECIDED: Final = "The keeper was interrupted before its decision"
OVERDUE: Final = (
    col(KeeperRequest.decision) == constant(KeeperDecision.PENDING),
    col(KeeperRequest.created_at) < func.now() - interval(minutes=3),
)
"""Longer than a verdict and a command take together."""


class OfRequest(Input):
    request_id: Id


LOOK = clock("keeper.overdue", every=timedelta(minutes=1), when=waiting(KeeperRequest, *OVERDUE))
CLOSE = job(
    "keeper.close",
    OfRequest,
    unique="{request_id}",
    emits=(KeeperAccessDecided, KeeperExecutionDecided, InboxItemUpdated),
)


async def enqueue_overdue(rows: AcrossWorkspaces) -> None:
    for row in await rows.everywhere.select(
        KeeperRequest, *OVERDUE, order_by=col(KeeperRequest.created_at), limit=MOST
    ):
        rows.enqueue(CLOSE, row["workspace_id"], request_id=row["id"])


async def close(ctx: Context, request_id: str) -> None:
    """Unless it was decided meanwhile."""
    pending = (col(KeeperRequest.id) == request_id, col(KeeperRequest.decision) == KeeperDecision.PENDING)
    request = await ctx.select(KeeperRequest, *pending).locked().first()
    if request is None:
        return
    agent = await ctx.select(Agent, col(Agent.id) == request.agent_id, including_deleted=True).first()
    credential = await ctx.select(
        Credential, col(Credential.id) == request.credential_id, including_deleted=True, including_hidden=True
    ).first()
    opened = OpenedRequest(
        request_id=request.id,
        workspace_id=request.workspace_id,
        agent_id=request.agent_id,
        agent_name="Unknown" if agent is None else agent.name,
        agent_slug="" if agent is None else agent.slug,
        sandbox_crew_id=None if agent is None else agent.crew_id,
        crew_id=request.crew_id,
        crew_name="",
        credential_id=request.credential_id,
        credential_name="Unknown" if credential is None else credential.name,
        level=1 if credential is None else credential.security_level,
        variable="",
        conversation=[],
    )
    await decide(ctx, opened, denied(UNDECIDED))
