"""REST: skills."""

from datetime import datetime
from typing import Annotated

import orjson

from models.resources.skills import (
    AgentSkill,
    PricingTier,
    ScanStatus,
    Skill,
    SkillCategory,
    SkillMaturity,
    SkillProposal,
    SkillRuntime,
    SkillSource,
    SkillVerification,
)
from resolvers.kernel.declarations.operation import Answer
from resolvers.resources import skills
from rest_compat.http.errors import JSON
from rest_compat.http.table import DELETE, GET, POST, Absent, From, Reply, Request, Wire


class InstalledAgentJSON(Wire, of=skills.InstalledAgent):
    agent_id: str
    agent_slug: str
    agent_name: str
    avatar_seed: str | None
    avatar_style: str | None
    crew_id: str | None
    crew_slug: str | None
    crew_name: str | None
    crew_color: str | None
    crew_icon: str | None
    crew_avatar_style: str | None


class SkillJSON(Wire, of=Skill):
    """`tags` is a JSON array as a text."""

    id: str
    name: str
    slug: str
    display_name: str
    description: str | None
    version: Annotated[str, From("skill_version")]
    author: str | None
    category: SkillCategory
    source: SkillSource
    icon: str | None
    verification: SkillVerification
    downloads: int
    rating_avg: float | None
    rating_count: int
    tags: str | None
    featured: bool
    pricing_tier: PricingTier
    tool_count: int | None
    vendor: str | None
    homepage: str | None
    spdx_license: str | None
    runtime: SkillRuntime
    maturity: SkillMaturity
    scan_status: ScanStatus
    description_quality: str | None
    created_at: datetime
    updated_at: datetime


class ListedSkillJSON(SkillJSON, of=Skill):
    """`installed_on` is absent where no agent of the workspace has the skill."""

    installed_on: Annotated[list[InstalledAgentJSON], Absent(zero=True)]


class SkillDetailJSON(SkillJSON, of=Skill):
    """`content` is the text without its front matter; `credential_requirements` is a JSON array as a text."""

    content: str | None
    credential_requirements: str | None
    mcp_server_command: str | None
    mcp_server_image: str | None
    mcp_transport: str | None
    dependencies: str | None
    license: str | None
    agent_count: int
    security_score: int | None
    allowed_domains: str | None
    changelog: str | None


class SkillOfAgentJSON(Wire, of=Skill):
    id: str
    name: str
    slug: str
    display_name: str | None
    description: str | None
    category: SkillCategory
    source: SkillSource
    icon: str | None
    version: Annotated[str, From("skill_version")]


class AgentSkillJSON(Wire, of=AgentSkill):
    id: str
    agent_id: str
    skill_id: str
    enabled: bool
    config: str | None
    skill: SkillOfAgentJSON


class SkillProposalJSON(Wire, of=SkillProposal):
    file_name: str
    name: str
    description: str
    description_quality: str
    category: SkillCategory


def _answers_assignment(request: Request, answer: Answer) -> Reply:
    """200 where nothing changed (contract: agent_skills.assign)."""
    body = answer.body or b"{}"
    headers = [JSON, (b"idempotent-replayed", b"true")] if answer.replayed else [JSON]
    return Reply(200 if orjson.loads(body).get("already_assigned") else 201, body, headers)


OF_AGENT = "/api/v1/agents/{agentId}/skills"
OF_WORKSPACE = "/api/v1/workspaces/{workspaceId}/skills"
INTERNAL = "/api/v1/internal/skills"
PROPOSED = "/api/v1/skills/proposed"
ROUTES = (
    GET("/api/v1/skills", skills.list_skills, list[ListedSkillJSON]),
    GET(PROPOSED, skills.list_proposals, list[SkillProposalJSON]),
    POST(f"{PROPOSED}/approve", skills.approve_proposal, skills.ProposalApproved),
    POST(f"{PROPOSED}/reject", skills.reject_proposal, skills.ProposalRejected),
    POST(f"{INTERNAL}/author", skills.author_skill, skills.SkillAuthored, status=201, in_query=("crew_id",)),
    GET("/api/v1/skills/{skillId}", skills.get_skill, SkillDetailJSON),
    POST(f"{OF_WORKSPACE}/generate", skills.generate_skill, skills.SkillGenerated, status=201),
    POST(f"{INTERNAL}/generate", skills.generate_skill_for_agent, skills.SkillGenerated, status=201),
    POST(f"{OF_WORKSPACE}/import", skills.import_skill, skills.SkillImported, status=201),
    POST(f"{OF_WORKSPACE}/bulk-import", skills.bulk_import_skills, skills.BulkImport),
    DELETE(f"{OF_WORKSPACE}/{{skillId}}", skills.delete_skill, skills.SkillDeleted),
    GET(OF_AGENT, skills.list_agent_skills, list[AgentSkillJSON]),
    POST(OF_AGENT, skills.assign_skill, skills.SkillAssigned, status=201, or_status=200, answers=_answers_assignment),
    DELETE(f"{OF_AGENT}/{{skillId}}", skills.remove_skill, status=204),
)
