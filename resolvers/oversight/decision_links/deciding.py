"""Operations for the holder of a link: read the question, and decide, once."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models.bounds import DESCRIPTION
from models.oversight.decision_links import DecisionKind, DecisionLink
from models.people.auth import User
from models.people.workspaces import Workspace
from resolvers.instance.crypto import digest
from resolvers.kernel import (
    NOW,
    Action,
    Auth,
    Code,
    Context,
    Input,
    Output,
    Refusal,
    Text,
    command,
    forbidden,
    procedure,
)
from resolvers.kernel.admission.places import go_on_as
from resolvers.oversight.decision_links.questions import KINDS, Decision, LinkQuestion, find_question, name_of_agent

UNKNOWN = "Link not found"
USED = "This link was already used"
EXPIRED = "This link has expired"
NOT_ANY_MORE = "The user this link was issued to no longer has permission to decide"
DECIDED = "This was already decided: {outcome}"
GONE = "The subject of this link has been deleted"


class ByToken(Input):
    """`token`: from the link that was sent to the user."""

    token: Text = Field(min_length=1, repr=False)


class DecideByLink(ByToken):
    """`comment` is stored with the decision; for an escalation it is the answer."""

    decision: Decision
    comment: Annotated[str, Field(strict=True, max_length=DESCRIPTION)] = ""


class DecisionQuestion(Output):
    """The question of a decision link, the agent that asks it, and the user on whose behalf the link decides."""

    kind: DecisionKind
    title: str
    text: str
    tool: str | None
    arguments: dict[str, Any] | None
    agent_name: str | None
    workspace_name: str
    user_name: str
    expires_at: datetime


class DecisionMade(Output):
    """The decision, and the user on whose behalf it was made."""

    kind: DecisionKind
    decision: Decision
    decided_by: str


@procedure(
    "decision_links.show",
    Action.NONE,
    auth=Auth.NONE,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND, Code.CONFLICT, Code.GONE),
)
async def show_by_link(ctx: Context, data: ByToken) -> DecisionQuestion:
    """Get the question of a decision link.

    Uses the token, without signing in. Changes nothing. Fails with the same errors as the decision.
    """
    link, question = await _open(ctx, data.token, lock=False)
    workspace = await ctx.get(Workspace, link.workspace_id)
    user = await ctx.get(User, link.user_id)
    return DecisionQuestion(
        kind=link.kind,
        title=question.title,
        text=question.text,
        tool=question.tool,
        arguments=question.arguments,
        agent_name=await name_of_agent(ctx, question),
        workspace_name=workspace.name,
        user_name=user.full_name or user.email,
        expires_at=link.expires_at,
    )


@command(
    "decision_links.decide",
    Action.NONE,
    audit="decision_link.used",
    auth=Auth.NONE,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND, Code.CONFLICT, Code.GONE),
)
async def decide_by_link(ctx: Context, data: DecideByLink) -> DecisionMade:
    """Decide by a decision link.

    Uses the token, without signing in. Decides as the user that the link was issued to, with that user's current
    role. A link works once, until it expires or the decision is made elsewhere.
    """
    link, question = await _open(ctx, data.token, lock=True)
    await KINDS[link.kind].decide(ctx, question, data.decision, data.comment.strip())
    await ctx.update(DecisionLink, link.id, used_at=NOW)
    ctx.audit("DECISION_LINK", link.id, kind=link.kind, decision=data.decision, channel_id=link.channel_id)
    return DecisionMade(kind=link.kind, decision=data.decision, decided_by=link.user_id)


async def _open(ctx: Context, token: str, *, lock: bool) -> tuple[DecisionLink, LinkQuestion]:
    """From here on the call is one of the person whom the link was made for. `lock`: of two who use the link at once,
    one sees the other.
    """
    hashed = digest(token)
    place = await ctx.place_by_secret(DecisionLink.token_hash, hashed)
    if place is None:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    await ctx.enter(place)
    await ctx.get(Workspace, place, missing=UNKNOWN)
    found = ctx.select(DecisionLink, col(DecisionLink.token_hash) == hashed)
    link = await (found.locked() if lock else found).one(UNKNOWN)
    if link.used_at is not None:
        raise Refusal(Code.GONE, USED)
    if link.expires_at <= await ctx.now():
        raise Refusal(Code.GONE, EXPIRED)
    if not await go_on_as(ctx, link.user_id) or ctx.role not in KINDS[link.kind].operation.roles:
        raise forbidden(NOT_ANY_MORE)
    question = await find_question(ctx, link.kind, link.subject_id, link.source_id)
    if question is None:
        raise Refusal(Code.GONE, GONE)
    if question.outcome is not None:
        raise Refusal(Code.CONFLICT, DECIDED.format(outcome=question.outcome))
    return link, question
