"""The stored picture of an agent."""

import hashlib
from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models.staff.agent_avatars import LARGEST, AgentAvatar
from models.staff.agents import Agent
from resolvers.kernel import (
    EVERYONE,
    REST_ONLY,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Id,
    Input,
    Output,
    Subject,
    command,
    derived,
    extend,
    graph,
    invalid,
    procedure,
)
from resolvers.rules.agent_pictures import picture_address, stored_picture
from resolvers.rules.svg import NotAllowed, check_svg
from resolvers.staff.agents.agents import AgentUpdated
from resolvers.staff.agents.permission import EDITED, may_edit
from resolvers.staff.crews.pictures import forget_pictures

AGENT: Final = Subject(Agent, "agent_id")
STORED: Final = "The agent has a stored avatar; delete it first"
NONE: Final = "The agent has no stored avatar"
DIGITS: Final = 16


class OfPicture(Input):
    """An agent of the workspace."""

    agent_id: Id


class StoreAgentAvatar(ById):
    """`svg` is one SVG picture, at most 64 KiB, of plain shapes: see `resolvers/rules/svg.py`."""

    svg: Annotated[str, Field(strict=True, min_length=1, max_length=LARGEST, repr=False)]


class AvatarStored(Output):
    """The address of the picture."""

    avatar_url: str


class AgentPicture(Output):
    """The text of the picture."""

    svg: str


extend(Agent, avatar_url=derived(str | None, lambda agent, _: stored_picture(agent)))
graph(AgentAvatar, gate=Action.READ, scope="agents:read", visible=EVERYONE)


@procedure("agents.avatar", Action.READ, subject=AGENT, surfaces=REST_ONLY)
async def get_agent_avatar(ctx: Context, agent: Agent, data: OfPicture) -> AgentPicture:
    """Get the stored avatar of an agent.

    An SVG picture. Its address changes with the picture, so browsers can keep it.
    """
    picture = await ctx.select(AgentAvatar, col(AgentAvatar.agent_id) == agent.id).one(NONE)
    return AgentPicture(svg=picture.svg)


@command(
    "agents.avatar_store",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="agent.avatar_stored",
    emits=AgentUpdated,
    errors=(Code.CONFLICT,),
)
async def store_agent_avatar(ctx: Context, agent: Agent, data: StoreAgentAvatar) -> AvatarStored:
    """Set the avatar of an agent to a picture.

    Takes an SVG of plain shapes, gradients and masks, without scripts, links, images, comments and entities. CONFLICT
    if the agent has a stored picture. It is removed when the seed, style or slug that it was drawn by changes.

    A MANAGER can do so for agents they created and agents of crews they administer.
    """
    _check(data.svg)
    digest = hashlib.sha256(data.svg.encode()).hexdigest()[:DIGITS]
    await ctx.update(Agent, agent.id, avatar_digest=digest)
    ctx.audit("AGENT", agent.id, digest=digest, size=len(data.svg.encode()))
    ctx.emit(AgentUpdated(id=agent.id))
    await ctx.insert(AgentAvatar(agent_id=agent.id, svg=data.svg), conflict=STORED)
    return AvatarStored(avatar_url=picture_address(agent.id, agent.workspace_id, digest))


@command(
    "agents.avatar_delete",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="agent.avatar_cleared",
    emits=AgentUpdated,
)
async def delete_agent_avatar(ctx: Context, agent: Agent, data: ById) -> Deleted:
    """Delete the stored avatar of an agent.

    Succeeds also if there is none.
    """
    await forget_pictures(ctx, col(Agent.id) == agent.id)
    ctx.audit("AGENT", agent.id)
    ctx.emit(AgentUpdated(id=agent.id))
    return Deleted(id=agent.id)


def _check(svg: str) -> None:
    try:
        size = len(svg.encode())
    except UnicodeEncodeError:
        raise invalid("svg", "is not text") from None
    if size > LARGEST:
        raise invalid("svg", f"must have at most {LARGEST >> 10} KiB")
    try:
        check_svg(svg)
    except NotAllowed as error:
        raise invalid("svg", str(error)) from None
