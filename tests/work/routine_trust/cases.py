"""Cases of standing approvals, for the tests that are made for every operation."""

from typing import Any

from tests.generation.recipes import Recipe


def _named(**values: Any) -> dict[str, Any]:
    return values | {"slug": lambda world: world.home["routine"].slug}


RECIPES = {
    "routine_trust.list": Recipe(_named()),
    "routine_trust.grant": Recipe(_named(step_id="gate"), chosen=frozenset({"step_id"})),
    "routine_trust.revoke": Recipe(_named(), ids={"grant_id": "routine_grant"}),
}
