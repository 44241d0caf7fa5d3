"""The crews that can be made in one step: data of this package, the same in every workspace."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from models.staff.agents import AgentRole, CliAdapter, LlmProvider, ToolProfile
from resolvers.instance.crypto import digest
from resolvers.kernel import Output

WRITTEN: Final = datetime(2026, 11, 27, tzinfo=UTC)
TIERS: Final = {"small": "claude-haiku-4-5", "medium": "claude-sonnet-4-6", "large": "claude-opus-4-8"}


class CrewTemplateAgent(Output):
    """An agent of the template. In the created crew its slug ends with the crew's slug."""

    name: str
    slug: str
    role_title: str
    agent_role: AgentRole
    cli_adapter: CliAdapter
    llm_provider: LlmProvider
    llm_model: str
    tool_profile: ToolProfile
    system_prompt: str


class CrewTemplate(Output):
    """A template of a crew and its agents; the first agent is the LEAD."""

    id: str
    name: str
    slug: str
    description: str | None
    icon: str | None
    color: str | None
    category: str
    agents: list[CrewTemplateAgent]
    is_builtin: bool
    created_at: datetime


@cache
def catalog() -> Mapping[str, CrewTemplate]:
    """All templates by slug, in the order of the list. Read on first use."""
    read = tomllib.loads(files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8"))
    made = [_template(slug, values) for slug, values in read.items()]
    return MappingProxyType({one.slug: one for one in sorted(made, key=lambda one: (one.category, one.name))})


def _template(slug: str, values: dict[str, Any]) -> CrewTemplate:
    lead, *others = values.pop("agents")
    agents = [_agent(lead, AgentRole.LEAD, ToolProfile.FULL)]
    agents += [_agent(other, AgentRole.AGENT, ToolProfile.CODING) for other in others]
    id = f"ct_{digest(slug)[:16]}"
    return CrewTemplate(id=id, slug=slug, agents=agents, is_builtin=True, created_at=WRITTEN, **values)


def _agent(values: dict[str, str], role: AgentRole, tools: ToolProfile) -> CrewTemplateAgent:
    return CrewTemplateAgent(
        name=values["name"],
        slug=values["slug"],
        role_title=values["title"],
        agent_role=role,
        cli_adapter=CliAdapter.CLAUDE_CODE,
        llm_provider=LlmProvider.ANTHROPIC,
        llm_model=TIERS[values.get("model", "medium")],
        tool_profile=ToolProfile(values.get("tools", tools)),
        system_prompt=values["prompt"],
    )
