"""The coding agents of the workers, as they report them."""

from collections.abc import Iterable, Sequence
from typing import Any

from models.staff.agents import CliAdapter
from resolvers.kernel import Output


class FoundCodingAgent(Output):
    """A coding agent that agents can use. `missing`: why no worker can run it; `fix`: how to install it."""

    adapter: CliAdapter
    name: str
    installed: bool
    version: str | None = None
    missing: str | None = None
    fix: str | None = None


def merged(told: Iterable[Sequence[dict[str, Any]]]) -> list[FoundCodingAgent]:
    """In the order of the first worker. What one of them has is there: runs go to any, and a worker without it uses its
    own loop. Of several versions it is the last in the order of texts.
    """
    made = dict[str, FoundCodingAgent]()
    for one in (FoundCodingAgent.model_validate(each) for of_worker in told for each in of_worker):
        known = made.get(one.adapter)
        if known is None or (one.installed, one.version or "") > (known.installed, known.version or ""):
            made[one.adapter] = one
    return list(made.values())
