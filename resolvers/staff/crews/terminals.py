"""Terminals of users in the sandbox of a crew: who may open one, and their record (contract: ws.terminal).

Any member of the workspace may open one. Its files are read-only for users who cannot change the crew's files by other
operations.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    NO_SURFACE,
    Action,
    Auth,
    Code,
    Context,
    Entity,
    Id,
    Input,
    Int,
    Output,
    Refusal,
    Text,
    command,
    procedure,
)

ROWS, COLUMNS = 24, 80
LARGEST: Final = 1000
Size = Annotated[Int, Field(ge=1, le=LARGEST)]
IN_CREW: Final = Entity(Crew, "crew_id")


class TerminalMode(StrEnum):
    shell = "shell"
    attach = "attach"


class TerminalSize(Input):
    """The size of a terminal in characters."""

    rows: Size = ROWS
    cols: Size = COLUMNS


class OpenTerminal(TerminalSize):
    """`agent_slug`: in the folder of that agent. `crew_slug` is not looked at: the id says it."""

    mode: TerminalMode = TerminalMode.shell
    crew_id: Annotated[Id, Field(min_length=1)]
    crew_slug: Annotated[str | None, Field(max_length=bounds.LINE)] = None
    agent_slug: Annotated[str | None, Field(max_length=bounds.LINE)] = None


class OfTerminal(Input):
    """The crew whose terminal it is."""

    crew_id: Id


class EndedTerminal(OfTerminal):
    """The owner of an ended terminal, its duration, and the reason of its end."""

    user_id: Id
    agent_slug: Text | None = None
    seconds: Int
    reason: Text


class TerminalRight(Output):
    """The current permission of a terminal's user."""

    workspace_id: str
    read_only: bool


def _right(ctx: Context) -> TerminalRight:
    return TerminalRight(workspace_id=ctx.workspace_id or "", read_only=not ctx.may(Action.CREATE))


@command(
    "terminals.open",
    Action.PARTICIPATE,
    tenancy=IN_CREW,
    audit="terminal.opened",
    errors=(Code.NOT_FOUND,),
    surfaces=NO_SURFACE,
    tickets=True,
)
async def open_terminal(ctx: Context, data: OpenTerminal) -> TerminalRight:
    """Start a terminal in the sandbox of a crew."""
    if data.mode is TerminalMode.attach and not data.agent_slug:
        raise Refusal(Code.BAD_REQUEST, "agent_slug: is required to attach")
    if data.agent_slug:
        of_crew = (col(Agent.crew_id) == data.crew_id, col(Agent.slug) == data.agent_slug)
        await ctx.select(Agent, *of_crew).one("Agent not found")
    right = _right(ctx)
    ctx.audit("CREW", data.crew_id, agent_slug=data.agent_slug, mode=data.mode.value, read_only=right.read_only)
    return right


@procedure("terminals.check", Action.READ, tenancy=IN_CREW, surfaces=NO_SURFACE, tickets=True)
async def check_terminal(ctx: Context, data: OfTerminal) -> TerminalRight:
    """Check the right to an open terminal."""
    return _right(ctx)


@command("terminals.close", Action.NONE, auth=Auth.INTERNAL, audit="terminal.closed", surfaces=NO_SURFACE)
async def close_terminal(ctx: Context, data: EndedTerminal) -> None:
    """Record the end of a terminal."""
    ctx.audit("CREW", data.crew_id, **data.model_dump(exclude={"crew_id"}))
