"""What the service announces, declared ahead of the operations that send it (contract: events).

One module a group. An event is `planned=True` until an operation sends it; then its class may move beside that
operation.
"""

from resolvers.announcements import (
    agents,
    assignments,
    crews,
    integrations,
    issues,
    keeper,
    notices,
    pipelines,
    settings,
)

__all__ = ["agents", "assignments", "crews", "integrations", "issues", "keeper", "notices", "pipelines", "settings"]
