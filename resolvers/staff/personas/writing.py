"""Who may write personas, and which earlier versions are kept."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.memory import MemoryTier
from resolvers.kernel import Action, Code, Context, Deleted, Output, Refusal, command
from resolvers.rules.memory_versions import keep_version
from resolvers.staff.personas.reading import AGENT, CREW, PersonaLayer, PersonaOfAgent, PersonaOfCrew

MOST_VERSIONS: Final = 100
"""The most versions of one persona: as many as a page of the history can show."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


# How long it may be is judged by `within_cap`, in bytes and with a status of its own.
PersonaText = Annotated[str, Field(strict=True, max_length=bounds.CONFIG), AfterValidator(_not_blank)]


class SetPersona(PersonaOfAgent):
    """`content` is at most 1500 bytes of UTF-8; blanks around it are kept."""

    content: PersonaText


class SetCrewPersona(PersonaOfCrew):
    """`content` is at most 1500 bytes of UTF-8; blanks around it are kept."""

    content: PersonaText


class PersonaWritten(Output):
    """The replaced text, and the length of the new one."""

    layer: PersonaLayer
    bytes: int
    updated: datetime


def within_cap(text: str) -> bytes:
    content = text.encode(errors="surrogatepass")
    if len(content) > bounds.PERSONA:
        raise Refusal(Code.TOO_LARGE, f"The persona has {len(content)} bytes; the maximum is {bounds.PERSONA}")
    return content


async def write(ctx: Context, owner: Agent | Crew, text: str) -> PersonaWritten:
    """Replaces the persona, and keeps the version. Begins the transaction."""
    content, is_agent = within_cap(text), isinstance(owner, Agent)
    path = f"{'agent' if is_agent else 'crew'}:{owner.slug}/PERSONA.md"
    await keep_version(
        ctx, path, MemoryTier.persona, content, written_by=ctx.user_id, owner_id=owner.id, most=MOST_VERSIONS
    )
    await ctx.update(type(owner), owner.id, persona=text)
    layer = PersonaLayer.agent if is_agent else PersonaLayer.crew
    return PersonaWritten(layer=layer, bytes=len(content), updated=await ctx.now())


async def _drop(ctx: Context, owner: Agent | Crew) -> Deleted:
    if owner.persona is not None:
        changed: dict[str, Any] = {"persona": None}
        await ctx.update(type(owner), owner.id, **changed)
    return Deleted(id=owner.id)


@command(
    "agents.persona_put",
    Action.CREATE,
    subject=AGENT,
    audit="agent.persona_set",
    errors=(Code.TOO_LARGE,),
    versioned=Agent,
    late=True,
)
async def set_persona(ctx: Context, agent: Agent, data: SetPersona) -> PersonaWritten:
    """Set the persona of an agent.

    Replaces the agent's own persona from its next run. The last 100 versions are kept for as long as the
    workspace keeps memories. The agent's version rises; its `updated_at` does not change.
    """
    return await write(ctx, agent, data.content)


@command("agents.persona_delete", Action.CREATE, subject=AGENT, audit="agent.persona_removed")
async def delete_persona(ctx: Context, agent: Agent, data: PersonaOfAgent) -> Deleted:
    """Delete the persona of an agent.

    Afterwards the crew's persona applies. The history is kept. Idempotent.
    """
    return await _drop(ctx, agent)


@command(
    "crews.persona.put",
    Action.CREATE,
    subject=CREW,
    audit="crew.persona_set",
    errors=(Code.TOO_LARGE,),
    versioned=Crew,
    late=True,
    scopes="crews",
)
async def set_crew_persona(ctx: Context, crew: Crew, data: SetCrewPersona) -> PersonaWritten:
    """Set the persona of a crew.

    Applies to agents without their own persona from their next run. The crew's version rises; its `updated_at`
    does not change.
    """
    return await write(ctx, crew, data.content)


@command("crews.persona.delete", Action.CREATE, subject=CREW, audit="crew.persona_removed", scopes="crews")
async def delete_crew_persona(ctx: Context, crew: Crew, data: PersonaOfCrew) -> Deleted:
    """Delete the persona of a crew.

    The history is kept. Idempotent.
    """
    return await _drop(ctx, crew)
