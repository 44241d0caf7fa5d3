"""GraphQL: skills."""

import strawberry

from models.resources.skills import AgentSkill, Skill, SkillProposal
from resolvers.resources import skills as skill_ops
from resolvers.resources.skills.catalog import SkillUsage
from schema.bridge.fields import Edge, mutation, node, output, query

output(skill_ops.BulkImported, name="BulkImportedSkill")
output(skill_ops.BulkSkipped, name="BulkSkippedSkill")
output(skill_ops.BulkImport, name="BulkSkillImport")
output(skill_ops.ProposalApproved, name="SkillProposalApproved")
output(skill_ops.ProposalRejected, name="SkillProposalRejected")


@node(Skill)
class SkillType:
    """Instructions and tools for agents. The catalog belongs to the instance: every workspace reads and assigns all
    skills."""

    fields = """
        id name slug display_name description skill_version author category source icon verification downloads
        rating_avg rating_count tags featured pricing_tier tool_count vendor homepage license spdx_license runtime
        maturity scan_status description_quality content credential_requirements dependencies allowed_domains changelog
        security_score lifecycle_state agent_count usage created_at updated_at version
    """
    skill_version = strawberry.field(description="The version by its author.")
    tags = strawberry.field(description="A JSON array.")
    license = strawberry.field(description="The text as written.")
    description_quality = strawberry.field(
        description="The scan's finding, or a remark on the description; null if both are adequate."
    )
    content = strawberry.field(description="The text without its front matter.")
    credential_requirements = strawberry.field(description="Environment variables: a JSON array.")
    allowed_domains = strawberry.field(description="A JSON array.")
    agent_count = strawberry.field(
        description="Agents of the current workspace with this skill.",
        deprecation_reason="Differs between workspaces that show the same skill. Use `usage`.",
    )
    usage: Edge = strawberry.field(description="Use of the skill in the current workspace.")
    version = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")


@node(SkillUsage)
class SkillUsageType:
    """Use of a skill in one workspace."""

    fields = "id agent_count"
    agent_count = strawberry.field(description="Agents of the workspace with this skill.")


@node(AgentSkill)
class AgentSkillType:
    """A skill that is assigned to an agent."""

    fields = "id agent_id skill_id skill agent enabled config created_at"
    skill: Edge
    config = strawberry.field(description="JSON, as sent.")


@node(SkillProposal)
class SkillProposalType:
    """A skill that an agent proposed and that waits for approval."""

    fields = "id crew_id crew file_name name description description_quality category scan_status content created_at"
    description_quality = strawberry.field(
        description="The scan's finding, or a remark on the description; empty if both are adequate."
    )
    content = strawberry.field(description="The whole SKILL.md.")


@strawberry.type
class SkillQuery:
    skills = query(skill_ops.list_skills, SkillType)
    find_skills = query(skill_ops.find_skills, SkillType)
    skill = query(skill_ops.get_skill, SkillType)
    proposed_skills = query(skill_ops.list_proposals, SkillProposalType)
    agent_skills = query(skill_ops.list_agent_skills, AgentSkillType)


@strawberry.type
class SkillMutation:
    import_skill = mutation(skill_ops.import_skill)
    generate_skill = mutation(skill_ops.generate_skill)
    bulk_import_skills = mutation(skill_ops.bulk_import_skills)
    delete_skill = mutation(skill_ops.delete_skill)
    approve_proposed_skill = mutation(skill_ops.approve_proposal)
    reject_proposed_skill = mutation(skill_ops.reject_proposal)
    assign_skill = mutation(skill_ops.assign_skill)
    remove_skill = mutation(skill_ops.remove_skill)
