"""The keeper, who decides whether an agent gets a credential."""

from resolvers.kernel import Domain
from resolvers.oversight.keeper.behavior import BehaviorVerdict, evaluate_behavior
from resolvers.oversight.keeper.execution import ExecutionVerdict, execute_command
from resolvers.oversight.keeper.gatekeeper import KeeperVerdict, request_access
from resolvers.oversight.keeper.lessons import LessonVerdict, learn_from_failure
from resolvers.oversight.keeper.log import KeeperStatus, get_keeper_request, keeper_status, list_keeper_requests
from resolvers.oversight.keeper.memory import MemoryHealthVerdict, evaluate_memory_health
from resolvers.oversight.keeper.skills import SkillVerdict, review_skill

DOMAIN = Domain("keeper", scopes=("workspace:admin",))
