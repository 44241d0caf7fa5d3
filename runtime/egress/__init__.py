"""The way out of agents' processes: a proxy outside of them, which asks the crew's policy before each connection."""

from runtime.egress.gateway import Bounds, Gateway, Seen
from runtime.egress.policy import Endpoint, Policy, Refused

__all__ = ["Bounds", "Endpoint", "Gateway", "Policy", "Refused", "Seen"]
