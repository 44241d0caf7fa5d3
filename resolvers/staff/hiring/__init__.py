"""Agents that are hired for a while: by a template, where the policy of the crew allows it."""

from resolvers.kernel import Domain
from resolvers.staff.hiring.hiring import Hire, approve_hire, hire, rehire

DOMAIN = Domain("hiring", scopes="agents")
