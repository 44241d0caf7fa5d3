"""GraphQL: decision links."""

import strawberry

from resolvers.oversight import decision_links as link_ops
from schema.bridge.fields import mutation, output

output(link_ops.DecisionMade, fields={"decided_by": strawberry.ID})


@strawberry.type
class DecisionLinkMutation:
    open_decision_link = mutation(link_ops.show_by_link)
    decide_by_link = mutation(link_ops.decide_by_link)
