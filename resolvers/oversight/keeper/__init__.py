"""The keeper, who decides whether an agent gets a credential."""

from resolvers.kernel import Domain
from resolvers.oversight.keeper.behavior import BehaviorVerdict, evaluate_behavior
from resolvers.oversight.keeper.execution import ExecutionVerdict, execute_command
from resolvers.oversight.keeper.log import get_keeper_request, list_keeper_requests
from resolvers.oversight.keeper.memory_health import MemoryHealthVerdict, evaluate_memory_health
from resolvers.oversight.keeper.negative_learning import LessonVerdict, learn_from_failure
from resolvers.oversight.keeper.requests import KeeperVerdict, request_access
from resolvers.oversight.keeper.skill_review import SkillVerdict, review_skill
from resolvers.oversight.keeper.status import KeeperStatus, keeper_status

DOMAIN = Domain("keeper", scopes=("workspace:admin",))
