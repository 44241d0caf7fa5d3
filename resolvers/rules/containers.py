"""What needs a container runtime. This server runs agents' commands without containers: there is none."""

from resolvers.kernel import Code, Refusal

NO_CONTAINERS = "No container runtime is configured"


def no_containers() -> Refusal:
    return Refusal(Code.UNAVAILABLE, NO_CONTAINERS)
