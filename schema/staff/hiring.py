"""GraphQL: agents that are hired for a while."""

import strawberry

from resolvers.staff import hiring as hiring_ops
from resolvers.staff.hiring.hiring import HireApproved
from schema.bridge.fields import mutation, output

output(HireApproved, fields={"crew_id": str})


@strawberry.type
class HiringMutation:
    hire_agent = mutation(hiring_ops.hire)
    rehire_agent = mutation(hiring_ops.rehire)
    approve_hire = mutation(hiring_ops.approve_hire)
