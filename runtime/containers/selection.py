"""Which engine makes crews' containers. The modules of a cluster are loaded only where one is configured."""

from resolvers.instance.settings import Settings
from runtime.containers.engine import ContainerEngine


def engine_of(settings: Settings, address: str) -> ContainerEngine:
    if settings.container_provider != "kubernetes":
        return ContainerEngine(address)
    from runtime.containers.kubernetes import KubernetesEngine

    return KubernetesEngine.of(settings)
