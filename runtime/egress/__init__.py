"""The way out of agents' processes: a proxy outside of them, which asks the crew's policy before each connection."""

from runtime.egress.gateway import Bounds, EgressGateway, Seen
from runtime.egress.policy import ConnectionRefused, Endpoint, Policy
