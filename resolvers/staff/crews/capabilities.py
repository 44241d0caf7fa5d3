"""The capabilities of one crew for authors of routines, in one answer."""

from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models.resources.integrations import CrewIntegration, ToolBinding
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import Absent, Action, Code, Context, Output, procedure
from resolvers.rules import inventory
from resolvers.rules.routine_language import routine_language
from resolvers.staff.crews.members import ByCrew


class OfferedDatastore(Output):
    """A database next to the crew's container. `host` is the name of the service; `port` may be empty."""

    type: str
    name: str
    host: str
    port: str


class OfferedTool(Output):
    """A command on the PATH of the container."""

    type: str
    name: str


class OfferedContainer(Output):
    """Datastores in the order of services_json; tools by name."""

    datastores: list[OfferedDatastore]
    tools: list[OfferedTool]


class OfferedIntegration(Output):
    """An enabled MCP server and its enabled tools, by name."""

    id: str
    name: str
    display_name: Annotated[str | None, Absent()]
    tools: list[str]


class OfferedAgent(Output):
    """An agent that a routine can refer to."""

    slug: str
    name: str


class OfferedCode(Output):
    """Languages of code steps: evaluated ones, and ones reserved but not run yet."""

    wired: list[str]
    reserved_unwired: list[str]


class OfferedRuntimes(Output):
    """`script_interpreters` is an object that maps a file suffix to a command."""

    code: OfferedCode
    script_interpreters: dict[str, str]


class CrewCapabilities(Output):
    """Capabilities of a crew's container, integrations and agents, and the JSON Schema of routines."""

    crew_id: str
    crew_slug: str
    container: OfferedContainer
    integrations: list[OfferedIntegration]
    agents: list[OfferedAgent]
    runtimes: OfferedRuntimes
    routine_schema: dict[str, Any] = Field(alias="schema")


async def _integrations(ctx: Context, crew_id: str) -> list[OfferedIntegration]:
    servers = (
        await ctx.select(CrewIntegration, col(CrewIntegration.crew_id) == crew_id, col(CrewIntegration.enabled))
        .order_by(col(CrewIntegration.name))
        .all()
    )
    tools: dict[str, list[str]] = {server.id: [] for server in servers}
    if tools:
        of_these = col(ToolBinding.crew_integration_id).in_(list(tools))
        for tool in (
            await ctx.select(ToolBinding, of_these, col(ToolBinding.enabled)).order_by(col(ToolBinding.tool_name)).all()
        ):
            tools[tool.crew_integration_id].append(tool.tool_name)
    return [
        OfferedIntegration(id=s.id, name=s.name, display_name=s.display_name or None, tools=tools[s.id])
        for s in servers
    ]


@procedure("crews.capabilities", Action.READ, errors=(Code.NOT_FOUND,), tickets=True)
async def get_capabilities(ctx: Context, data: ByCrew) -> CrewCapabilities:
    """Get the capabilities of a crew.

    Returns what routines can use in the crew. A malformed configuration contributes nothing and is not an error.
    """
    crew = await ctx.get(Crew, data.crew_id)
    agents = await ctx.select(Agent, col(Agent.crew_id) == crew.id).order_by(col(Agent.slug)).all()
    return CrewCapabilities(
        crew_id=crew.id,
        crew_slug=crew.slug,
        container=OfferedContainer.model_validate(
            inventory.container(crew.devcontainer_config, crew.mise_config, crew.services_json)
        ),
        integrations=await _integrations(ctx, crew.id),
        agents=[OfferedAgent(slug=agent.slug, name=agent.name) for agent in agents],
        runtimes=OfferedRuntimes.model_validate(inventory.runtimes()),
        schema=await routine_language(),
    )
