"""REST: the keeper of credentials."""

from typing import Annotated

from models.oversight.keeper import KeeperRequest
from resolvers.oversight import keeper
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.table import GET, POST, Absent, From, Wire


class KeeperLogEntryJSON(Wire, of=KeeperRequest):
    """Names of deleted objects are `Unknown`; absent ids are empty."""

    fields = """
        id agent_id agent_name crew_id credential_id credential_name intent request_type command decision reason
        risk_score exit_code ollama_prompt ollama_raw_response created_at decided_at
    """
    absent = "command exit_code"
    ollama_prompt: Annotated[str | None, From("prompt"), Absent()]
    ollama_raw_response: Annotated[str | None, From("answer"), Absent()]


class KeeperRequestJSON(Wire, of=KeeperRequest):
    fields = """
        id requesting_agent_id requesting_crew_id credential_id intent decision reason risk_score created_at decided_at
    """
    requesting_agent_id: Annotated[str, From("agent_id")]
    requesting_crew_id: Annotated[str, From("crew_id")]


INTERNAL = "/api/v1/internal/keeper"
ROUTES = (
    GET("/api/v1/system/keeper", keeper.keeper_status, keeper.KeeperStatus),
    GET("/api/v1/admin/keeper/requests", keeper.list_keeper_requests, list[KeeperLogEntryJSON]),
    GET(f"{INTERNAL}/request/{{id}}", keeper.get_keeper_request, KeeperRequestJSON),
    POST(f"{INTERNAL}/execute", keeper.execute_command, keeper.ExecutionVerdict, reads=workspace_in_body),
    POST(f"{INTERNAL}/request", keeper.request_access, keeper.KeeperVerdict, reads=workspace_in_body),
    POST(f"{INTERNAL}/skill-review", keeper.review_skill, keeper.SkillVerdict),
    POST(f"{INTERNAL}/behavior", keeper.evaluate_behavior, keeper.BehaviorVerdict),
    POST(f"{INTERNAL}/memory-health", keeper.evaluate_memory_health, keeper.MemoryHealthVerdict),
    POST(f"{INTERNAL}/negative-learning", keeper.learn_from_failure, keeper.LessonVerdict),
)
