"""One style of avatars for all agents of a crew (contract: crews.avatar.apply)."""

from typing import Annotated

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import Absent, Action, Bool, Code, Context, Emptied, Output, Refusal, Text, command
from resolvers.staff.crews.members import CREW, ByCrew
from resolvers.staff.crews.pictures import forget_pictures


class ApplyAvatarStyle(ByCrew):
    """`avatar_style` is required unless `reset_overrides` is set, which takes precedence."""

    avatar_style: Emptied[Text] = None
    reset_overrides: Bool = False


class AvatarsChanged(Output):
    """The number of agents, and their style; `reset` if their own styles were removed."""

    updated: int
    style: Annotated[str | None, Absent()] = None
    reset: Annotated[bool | None, Absent()] = None


@command("crews.avatar.apply", Action.MANAGE, subject=CREW, audit="crew.avatars_set")
async def apply_avatar_style(ctx: Context, crew: Crew, data: ApplyAvatarStyle) -> AvatarsChanged:
    """Set the avatar style of a crew's agents.

    Applies to the crew's current agents. The crew's own style is unchanged.
    """
    style = None if data.reset_overrides else data.avatar_style
    if style is None and not data.reset_overrides:
        raise Refusal(Code.BAD_REQUEST, "avatar_style is required", fields={"avatar_style": "is required"})
    await forget_pictures(ctx, col(Agent.crew_id) == crew.id)
    changed = await ctx.update_where(Agent, col(Agent.crew_id) == crew.id, including_hidden=True, avatar_style=style)
    ctx.audit("CREW", crew.id, avatar_style=style, agents=len(changed))
    if data.reset_overrides:
        return AvatarsChanged(updated=len(changed), reset=True)
    return AvatarsChanged(updated=len(changed), style=style)
