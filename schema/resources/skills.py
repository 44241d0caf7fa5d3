"""GraphQL: skills."""

from datetime import datetime

import strawberry

from models.resources.skills import (
    AgentSkill,
    PricingTier,
    ScanStatus,
    Skill,
    SkillCategory,
    SkillLifecycle,
    SkillMaturity,
    SkillProposal,
    SkillRuntime,
    SkillSource,
    SkillVerification,
)
from resolvers.resources import skills as skill_ops
from schema.bridge.fields import Edge, mutation, node, output, query


@node(Skill)
class SkillType:
    """What an agent can be taught. The catalog is the instance's: every workspace reads and assigns all of it."""

    id: strawberry.ID
    name: str
    slug: str
    display_name: str
    description: str | None
    skill_version: str = strawberry.field(description="As its author counts.")
    author: str | None
    category: SkillCategory
    source: SkillSource
    icon: str | None
    verification: SkillVerification
    downloads: int
    rating_avg: float | None
    rating_count: int
    tags: str | None = strawberry.field(description="A JSON array.")
    featured: bool
    pricing_tier: PricingTier
    tool_count: int | None
    vendor: str | None
    homepage: str | None
    license: str | None = strawberry.field(description="As it was written.")
    spdx_license: str | None
    runtime: SkillRuntime
    maturity: SkillMaturity
    scan_status: ScanStatus
    description_quality: str | None = strawberry.field(
        description="What the scan has found, or a remark on the description; null where both are fine."
    )
    content: str | None = strawberry.field(description="The text without its front matter.")
    credential_requirements: str | None = strawberry.field(description="Environment variables: a JSON array.")
    dependencies: str | None
    allowed_domains: str | None = strawberry.field(description="A JSON array.")
    changelog: str | None
    security_score: int | None
    lifecycle_state: SkillLifecycle
    agent_count: int = strawberry.field(description="Agents of the workspace that have it.")
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")


@output(skill_ops.SkillImported)
class SkillImportedType:
    """`created` is false where a skill of that slug was there, and is changed now."""

    skill_id: strawberry.ID
    name: str
    slug: str
    created: bool


@output(skill_ops.SkillGenerated)
class SkillGeneratedType:
    """`scanReason` is null where the scan found nothing, `descriptionQuality` where the description is fine."""

    skill_id: strawberry.ID
    slug: str
    content: str
    scan_status: ScanStatus
    scan_reason: str | None
    description_quality: str | None


@output(skill_ops.BulkImported, name="BulkImportedSkill")
class BulkImportedType:
    skill_id: strawberry.ID
    slug: str
    created: bool


@output(skill_ops.BulkSkipped, name="BulkSkippedSkill")
class BulkSkippedType:
    """A file that was not imported, and why."""

    path: str
    slug: str | None
    reason: str


@output(skill_ops.BulkImport, name="BulkSkillImport")
class BulkImportType:
    """`truncated` where the repository had more files than are looked at."""

    source: str
    total_found: int
    total_imported: int
    imported: list[BulkImportedType]
    skipped: list[BulkSkippedType]
    truncated: bool | None


@output(skill_ops.SkillDeleted)
class SkillDeletedType:
    """The skill was deleted, and taken from all agents."""

    deleted: bool
    skill_id: strawberry.ID


@node(AgentSkill)
class AgentSkillType:
    """A skill on an agent."""

    id: strawberry.ID
    agent_id: strawberry.ID
    skill_id: strawberry.ID
    skill: Edge
    agent: Edge | None
    enabled: bool
    config: str | None = strawberry.field(description="JSON, as it was sent.")
    created_at: datetime


@node(SkillProposal)
class SkillProposalType:
    """A skill that an agent has written and that waits for approval."""

    id: strawberry.ID
    crew_id: strawberry.ID
    crew: Edge | None
    file_name: str
    name: str
    description: str
    description_quality: str = strawberry.field(
        description="What the scan has found, or a remark on the description; empty where both are fine."
    )
    category: SkillCategory
    scan_status: ScanStatus
    content: str = strawberry.field(description="The whole SKILL.md.")
    created_at: datetime


@output(skill_ops.ProposalApproved, name="SkillProposalApproved")
class ProposalApprovedType:
    """`created` is false where a skill of that slug was there, and is changed now."""

    skill_id: strawberry.ID
    slug: str
    created: bool
    file_name: str


@output(skill_ops.ProposalRejected, name="SkillProposalRejected")
class ProposalRejectedType:
    """`removed` is false where there was no such proposal any more."""

    file_name: str
    removed: bool


@output(skill_ops.SkillAssigned)
class SkillAssignedType:
    """The assignment; `alreadyAssigned` where the agent had the skill before."""

    id: strawberry.ID
    already_assigned: bool | None


@output(skill_ops.SkillUnassigned)
class SkillUnassignedType:
    agent_id: strawberry.ID
    skill_id: strawberry.ID


@strawberry.type
class SkillQuery:
    skills = query(skill_ops.list_skills, SkillType)
    skill = query(skill_ops.get_skill, SkillType)
    proposed_skills = query(skill_ops.list_proposals, SkillProposalType)
    agent_skills = query(skill_ops.list_agent_skills, AgentSkillType)


@strawberry.type
class SkillMutation:
    import_skill = mutation(skill_ops.import_skill, SkillImportedType)
    generate_skill = mutation(skill_ops.generate_skill, SkillGeneratedType)
    bulk_import_skills = mutation(skill_ops.bulk_import_skills, BulkImportType)
    delete_skill = mutation(skill_ops.delete_skill, SkillDeletedType)
    approve_proposed_skill = mutation(skill_ops.approve_proposal, ProposalApprovedType)
    reject_proposed_skill = mutation(skill_ops.reject_proposal, ProposalRejectedType)
    assign_skill = mutation(skill_ops.assign_skill, SkillAssignedType)
    remove_skill = mutation(skill_ops.remove_skill, SkillUnassignedType)
