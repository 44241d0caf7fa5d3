"""GraphQL: decision links."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.oversight.decision_links import DecisionKind
from resolvers.oversight import decision_links as link_ops
from resolvers.oversight.decision_links.questions import Decision
from schema.bridge.fields import mutation, output


@output(link_ops.DecisionQuestion)
class DecisionQuestionType:
    """What a decision link asks, by which agent, and in whose name it decides."""

    kind: DecisionKind
    title: str
    text: str
    tool: str | None
    arguments: JSON | None
    agent_name: str | None
    workspace_name: str
    user_name: str
    expires_at: datetime


@output(link_ops.DecisionMade)
class DecisionMadeType:
    kind: DecisionKind
    decision: Decision
    decided_by: strawberry.ID


@strawberry.type
class DecisionLinkMutation:
    open_decision_link = mutation(link_ops.show_by_link, DecisionQuestionType)
    decide_by_link = mutation(link_ops.decide_by_link, DecisionMadeType)
