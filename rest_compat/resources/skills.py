"""REST: skills."""

from typing import Annotated

import orjson

from models.resources.skills import AgentSkill, Skill, SkillProposal
from resolvers.kernel.declarations.operation import Answer
from resolvers.resources import skills
from rest_compat.http.errors import JSON
from rest_compat.http.table import DELETE, GET, POST, Absent, From, Reply, Request, Wire


class InstalledAgentJSON(Wire, of=skills.InstalledAgent):
    fields = """
        agent_id agent_slug agent_name avatar_seed avatar_style avatar_url crew_id crew_slug crew_name crew_color
        crew_icon crew_avatar_style
    """


class SkillJSON(Wire, of=Skill):
    """`tags` is a JSON array as a text."""

    fields = """
        id name slug display_name description version author category source icon verification downloads rating_avg
        rating_count tags featured pricing_tier tool_count vendor homepage spdx_license runtime maturity scan_status
        description_quality created_at updated_at
    """
    version: Annotated[str, From("skill_version")]


class ListedSkillJSON(SkillJSON, of=Skill):
    """`installed_on` is absent if no agent of the workspace has the skill."""

    installed_on: Annotated[list[InstalledAgentJSON], Absent(zero=True)]


class SkillDetailJSON(SkillJSON, of=Skill):
    """`content` is the text without its front matter; `credential_requirements` is a JSON array as a text."""

    fields = """
        content credential_requirements mcp_server_command mcp_server_image mcp_transport dependencies license
        agent_count security_score allowed_domains changelog
    """


class SkillOfAgentJSON(Wire, of=Skill):
    fields = "id name slug display_name description category source icon version"
    display_name: str | None
    version: Annotated[str, From("skill_version")]


class AgentSkillJSON(Wire, of=AgentSkill):
    fields = "id agent_id skill_id enabled config skill"
    skill: SkillOfAgentJSON


class SkillProposalJSON(Wire, of=SkillProposal):
    fields = "file_name name description description_quality category"


def _answers_assignment(request: Request, answer: Answer) -> Reply:
    """200 if nothing changed (contract: agent_skills.assign)."""
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
