"""The containers of a crew's agents, and containers without an owner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import AcrossWorkspaces, Id, Input, Refusal, across_workspaces, clock, constant, instance, job
from resolvers.kernel.store.across import supplied
from resolvers.rules.devcontainer import parse_devcontainer
from resolvers.rules.mise import parse_mise
from resolvers.rules.services import Service, parse_services

NOT_BUILT = "The image of the crew's container is not built"
SETTINGS = (
    "runtime_image",
    "devcontainer_config",
    "mise_config",
    "cached_image",
    "container_memory_mb",
    "container_cpus",
    "services_json",
)
REMOVE_CONTAINERS = clock("crews.containers", every=timedelta(minutes=1))
"""Removes containers whose crew or agent is gone, or which have expired."""


class ContainersOfCrew(Input):
    crew_id: Id


STOP = job("crews.stop_containers", ContainersOfCrew, unique="{crew_id}", attempts=10)
"""Stops the containers after a change of their network or services; the next command creates them again."""
REMADE = frozenset({"network_mode", "allowed_domains", "services_json"})


@dataclass(frozen=True, slots=True)
class Workplace:
    """The configuration of a crew's containers. `image` is empty if a build has to come first."""

    image: str
    memory_mb: int
    cpus: float
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    services: tuple[Service, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class KeptContainer:
    """A container that the engine has, by its labels."""

    id: str
    workspace_id: str
    crew_id: str
    agent_id: str
    made_at: datetime


async def workplace_of(workspace_id: str, crew_id: str) -> Workplace | None:
    """None for a crew that names no image, where the instance names none either."""

    async def find(rows: AcrossWorkspaces) -> Sequence[Mapping[str, Any]]:
        return await rows.within(workspace_id).select(Crew, col(Crew.id) == crew_id, columns=SETTINGS)

    found = await across_workspaces(find)
    return _workplace(found[0]) if found else None


def _workplace(crew: Mapping[str, Any]) -> Workplace | None:
    try:
        devcontainer = parse_devcontainer(crew["devcontainer_config"]) if crew["devcontainer_config"] else None
        mise = parse_mise(crew["mise_config"]) if crew["mise_config"] else None
        services = tuple(parse_services(crew["services_json"])) if crew["services_json"] else ()
    except Refusal:  # stored by other rules than today's
        devcontainer, mise, services = None, None, ()
    image = (devcontainer and devcontainer.image) or crew["runtime_image"] or instance.settings.runtime_image
    if crew["cached_image"] is not None:
        image = crew["cached_image"]
    elif mise is not None or (devcontainer is not None and devcontainer.needs_image):
        image = ""
    if image is None:
        return None
    variables = {**((mise and mise.env) or {}), **((devcontainer and devcontainer.container_env) or {})}
    return Workplace(image, crew["container_memory_mb"], crew["container_cpus"], variables, services)


def needs_container(crew: Crew) -> bool:
    """Returns true if the commands of the crew's agents run in containers where the server has an engine."""
    return image_of(crew) is not None


def image_of(crew: Crew) -> str | None:
    """The image of the crew's containers: empty if it has to be built first, None if commands run elsewhere."""
    found = _workplace({name: getattr(crew, name) for name in SETTINGS})
    return None if found is None else found.image


async def overdue(
    rows: AcrossWorkspaces, there: Sequence[KeptContainer], now: datetime, *, ends: bool = True
) -> list[str]:
    """The containers to remove; those that do not expire are removed with their crew."""
    live = await rows.everywhere.report(_live(rows, there))
    hours = {(row["crew"], row["agent"]): row["hours"] for row in live}
    whose = [(each, (each.crew_id, each.agent_id)) for each in there]
    return [each.id for each, key in whose if key not in hours or (ends and _over(each.made_at, hours[key], now))]


def _live(rows: AcrossWorkspaces, there: Sequence[KeptContainer]) -> Any:
    """The crews and agents of these containers that still exist."""
    crews = rows.everywhere.table(Crew, "workspace_id", "id", "container_ttl_hours").c
    agents = rows.everywhere.table(Agent, "workspace_id", "id", "crew_id").c
    given = supplied(
        Agent,
        workspace_id=[each.workspace_id for each in there],
        crew_id=[each.crew_id for each in there],
        id=[each.agent_id for each in there],
    ).c
    same = (agents.workspace_id == given.workspace_id, agents.id == given.id, agents.crew_id == given.crew_id)
    return select(given.crew_id.label("crew"), given.id.label("agent"), crews.container_ttl_hours.label("hours")).where(
        crews.workspace_id == given.workspace_id,
        crews.id == given.crew_id,
        or_(given.id == constant(""), select(agents.id).where(*same).exists()),
    )


def _over(made_at: datetime, hours: int | None, now: datetime) -> bool:
    return hours is not None and made_at + timedelta(hours=hours) <= now
