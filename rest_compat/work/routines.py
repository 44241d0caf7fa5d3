"""REST: routines, which the API calls pipelines."""

from typing import Annotated, Any

from models.work.saved_routines import RoutineVersion, SavedRoutine
from resolvers.work import routines
from resolvers.work.routines.appearance import RoutineTagRemoved, RoutineTags
from resolvers.work.routines.bundles import RoutineBundle
from resolvers.work.routines.checking import RoutineCheck, RoutineLanguage
from resolvers.work.routines.reviews import RoutineStanding
from resolvers.work.routines.versions import RoutineDiff
from rest_compat.http.spans import with_text
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Fixed, From, Wire


class RoutineRowJSON(Wire, of=SavedRoutine):
    fields = """
        id slug name description dsl_version definition_hash ephemeral workspace_visible invocation_count
        last_invoked_at last_invocation_status author_crew_id author_agent_id author_agent_name author_user_id
        authored_via status icon color created_at updated_at linked_issue_count integrations_required
    """
    absent = """
        description last_invoked_at last_invocation_status author_crew_id author_agent_id author_agent_name
        author_user_id icon color
    """
    ephemeral: Annotated[bool, Fixed("false")]
    workspace_visible: Annotated[bool, Fixed("true")]
    linked_issue_count: Annotated[int, Fixed("0")]
    integrations_required: Annotated[list[str], Absent(zero=True)]


class RoutineBriefJSON(Wire, of=SavedRoutine):
    fields = """
        id slug name description dsl_version definition_hash ephemeral workspace_visible invocation_count
        last_invoked_at last_invocation_status author_crew_id author_agent_id author_user_id authored_via status icon
        color created_at updated_at linked_issue_count integrations_required
    """
    absent = """
        description last_invoked_at last_invocation_status author_crew_id author_agent_id author_user_id icon color
    """
    ephemeral: Annotated[bool, Fixed("false")]
    workspace_visible: Annotated[bool, Fixed("true")]
    linked_issue_count: Annotated[int, Fixed("0")]
    integrations_required: Annotated[list[str], Absent(zero=True)]


class RoutineJSON(Wire, of=SavedRoutine):
    fields = """
        id slug name description dsl_version definition_hash ephemeral workspace_visible invocation_count
        last_invoked_at last_invocation_status author_crew_id author_agent_id author_user_id authored_via status icon
        color risk_reasons inbox_item_id created_at updated_at linked_issue_count integrations_required manifest
        definition
    """
    absent = """
        description last_invoked_at last_invocation_status author_crew_id author_agent_id author_user_id icon color
        inbox_item_id
    """
    ephemeral: Annotated[bool, Fixed("false")]
    workspace_visible: Annotated[bool, Fixed("true")]
    risk_reasons: Annotated[list[str] | None, From("open_risk_reasons"), Absent()]
    linked_issue_count: Annotated[int, Fixed("0")]
    integrations_required: Annotated[list[str], Absent(zero=True)]
    definition: dict[str, Any]


class RoutineVersionJSON(Wire, of=RoutineVersion):
    fields = "version is_head definition_hash author_type author_id parent_version change_summary created_at"
    absent = "parent_version change_summary"
    version: Annotated[int, From("number")]


class RoutineVersionDetailJSON(Wire, of=RoutineVersion):
    fields = "version definition_hash definition author_type author_id parent_version change_summary created_at"
    version: Annotated[int, From("number")]
    definition: Annotated[dict[str, Any], From("sent_definition")]
    change_summary: Annotated[str, From("summary")]


def _between(query: dict[str, str]) -> dict[str, str]:
    """The contract's `from` and `to` (routines.diff)."""
    names = {"from": "from_version", "to": "to_version"}
    return {names.get(name, name): value for name, value in query.items()}


PIPELINES = "/api/v1/workspaces/{workspaceId}/pipelines"
PIPELINE = f"{PIPELINES}/{{slug}}"
ROUTES = (
    GET(PIPELINES, routines.list_routines, list[RoutineRowJSON]),
    POST(f"{PIPELINES}/save", routines.save_routine, RoutineJSON, status=201, reads=with_text("definition")),
    POST(f"{PIPELINES}/validate", routines.validate_routine, RoutineCheck, reads=with_text("definition")),
    POST(
        f"{PIPELINES}/import",
        routines.import_routine,
        RoutineJSON,
        status=201,
        reads=with_text("pipeline", "definition"),
    ),
    GET("/api/v1/pipeline-schema", routines.routine_schema, RoutineLanguage),
    GET(PIPELINE, routines.get_routine, RoutineJSON),
    PATCH(PIPELINE, routines.update_routine, RoutineBriefJSON),
    DELETE(PIPELINE, routines.delete_routine, status=204),
    POST(f"{PIPELINE}/approve", routines.approve_routine, RoutineStanding),
    POST(f"{PIPELINE}/reject", routines.reject_routine, RoutineStanding),
    POST(f"{PIPELINE}/enable", routines.enable_routine, RoutineStanding),
    PATCH(f"{PIPELINE}/appearance", routines.set_routine_appearance, RoutineBriefJSON),
    PUT(f"{PIPELINE}/tags", routines.add_routine_tags, RoutineTags),
    DELETE(f"{PIPELINE}/tags/{{tag}}", routines.remove_routine_tag, RoutineTagRemoved),
    GET(f"{PIPELINE}/export", routines.export_routine, RoutineBundle),
    GET(f"{PIPELINE}/versions", routines.list_routine_versions, list[RoutineVersionJSON]),
    GET(f"{PIPELINE}/versions/{{version}}", routines.get_routine_version, RoutineVersionDetailJSON),
    GET(f"{PIPELINE}/diff", routines.compare_routine_versions, RoutineDiff, completes=_between),
    POST(f"{PIPELINE}/rollback", routines.roll_back_routine, RoutineJSON),
)
