"""Work and questions from agent to agent."""

from resolvers.kernel import Domain

DOMAIN = Domain("assignments", scopes="crews")
