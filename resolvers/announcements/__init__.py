"""Events that no operation sends yet: what the service will announce, declared ahead of the operations (contract: events).

One module a group. A class moves beside its operation when that is written, and loses `planned=True`.
"""

from resolvers.announcements import agents, assignments, crews, integrations, issues, keeper, missions, notices, pipelines, settings

__all__ = ["agents", "assignments", "crews", "integrations", "issues", "keeper", "missions", "notices", "pipelines", "settings"]
