"""Cases of the keeper, for the tests that are made for every operation."""

from models.oversight.keeper import KeeperDecision, KeeperRequest, KeeperRequestType
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def keeper_request(plot: Plot) -> KeeperRequest:
    return KeeperRequest(
        request_type=KeeperRequestType.execute,
        agent_id=plot["agent"].id,
        crew_id=plot["crew"].id,
        credential_id=plot["credential"].id,
        intent="List the open pull requests",
        command="gh pr list",
        decision=KeeperDecision.ALLOW,
        reason="It fits",
        risk_score=2,
        exit_code=0,
        prompt="Judge",
        answer="ALLOW",
        decided_at=now(),
        **plot.here,
    )


GIVEN = {"credential_id": lambda world: world.home["agent_credential"].credential_id}
WHO = {"requesting_agent_id": "agent", "requesting_crew_id": "crew"}
INTENT = "List the open pull requests of the project"
HERE = {"workspace_id": lambda world: world.home.workspace.id}
NO_MODEL = Code.UNAVAILABLE
RECIPES = {
    "internal.keeper.skill_review": Recipe(
        {"skill_id": "sk_1", **HERE}, chosen=frozenset({"skill_id", "crew_id", "workspace_id"}), refused=NO_MODEL
    ),
    "internal.keeper.behavior": Recipe(
        {"tool_name": "Bash", **HERE}, chosen=frozenset({"agent_id", "crew_id", "workspace_id"}), refused=NO_MODEL
    ),
    "internal.keeper.memory_health": Recipe(HERE, chosen=frozenset({"crew_id", "workspace_id"}), refused=NO_MODEL),
    "internal.keeper.negative_learning": Recipe(
        {"trigger": "run_failed", "failure_snippet": "boom", **HERE},
        chosen=frozenset({"agent_id", "crew_id", "workspace_id"}),
        refused=NO_MODEL,
    ),
    "internal.keeper.execute": Recipe(
        {
            "intent": INTENT,
            "command": "gh pr list",
            "env_var": "TOKEN",
            "container_id": lambda world: world.home["agent"].crew_id,
            **GIVEN,
        },
        ids=WHO,
        chosen=frozenset({"task_id", "container_id"}),
    ),
    "keeper.open": Recipe(
        {"intent": INTENT, "request_type": "access", **GIVEN}, ids=WHO, chosen=frozenset({"task_id", "container_id"})
    ),
    "internal.keeper.request": Recipe(
        {"intent": INTENT, **GIVEN},
        ids=WHO,
        chosen=frozenset({"task_id"}),
    ),
}
