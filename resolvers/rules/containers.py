"""Features that need a container runtime. Without one, this server runs agents' commands outside containers."""

from resolvers.kernel import Code, Refusal

NO_CONTAINERS = "No container runtime is configured"


def no_containers() -> Refusal:
    return Refusal(Code.UNAVAILABLE, NO_CONTAINERS)
