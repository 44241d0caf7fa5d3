"""GraphQL: agents that are hired for a while."""

from datetime import datetime

import strawberry

from models.staff.agents import AgentStatus
from resolvers.rules.autonomy import PolicyDecision
from resolvers.staff import hiring as hiring_ops
from resolvers.staff.hiring.hiring import HireApproved
from schema.bridge.fields import mutation, output


@output(hiring_ops.Hire)
class HireType:
    id: strawberry.ID
    crew_id: strawberry.ID | None
    workspace_id: strawberry.ID
    slug: str
    name: str
    status: AgentStatus
    ephemeral: bool
    expires_at: datetime | None
    expired_at: datetime | None
    parent_lead_id: strawberry.ID | None
    hire_reason: str | None
    pending_review: bool
    inbox_item_id: strawberry.ID | None
    decision: PolicyDecision


@output(HireApproved)
class HireApprovedType:
    id: strawberry.ID
    status: AgentStatus
    crew_id: str


@strawberry.type
class HiringMutation:
    hire_agent = mutation(hiring_ops.hire, HireType)
    rehire_agent = mutation(hiring_ops.rehire, HireType)
    approve_hire = mutation(hiring_ops.approve_hire, HireApprovedType)
