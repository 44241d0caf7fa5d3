"""GraphQL: routines and their versions."""

import strawberry
from strawberry.scalars import JSON

from models.work.saved_routines import RoutineVersion, SavedRoutine
from resolvers.work import routines as routine_ops
from resolvers.work.routines.bundles import BundledRoutine, BundledVersion
from resolvers.work.routines.checking import RoutineLanguage
from schema.bridge.fields import acts, mutation, node, output, query

output(RoutineLanguage, fields={"json_schema": strawberry.field(name="schema")})
output(BundledRoutine, fields={"definition": JSON})
output(BundledVersion, fields={"definition": JSON})


@node(SavedRoutine, name="Routine")
class RoutineType:
    """A saved document of typed steps, in versions."""

    fields = """
        id workspace_id slug name description icon color status authored_via author_crew_id author_crew author_agent_id
        author_agent author_agent_name author_user_id author_user head_version approved_version definition_hash
        dsl_version definition source manifest integrations_required open_risk_reasons inbox_item_id tags
        invocation_count last_invoked_at last_invocation_status versions runs schedules webhooks created_at updated_at
        version viewer_can
    """
    viewer_can = acts()
    slug = strawberry.field(description="Unique in the workspace.")
    author_crew = strawberry.field(description="The crew whose agents, integrations and credentials the steps use.")
    author_agent = strawberry.field(description="The agent that actions of steps are taken as.")
    head_version = strawberry.field(description="The number of the version that runs.")
    approved_version = strawberry.field(
        description="The version to which a rejected change returns; null if none was ever active."
    )
    definition_hash = strawberry.field(description="SHA-256 of the definition's bytes as they were sent.")
    definition = strawberry.field(description="The values of the definition.")
    source = strawberry.field(description="The definition as it was sent, in JSON or YAML.")
    manifest = strawberry.field(description="Hosts, agents, routines and credentials that the definition names.")
    open_risk_reasons = strawberry.field(description="Why it waits for a review; null unless it is proposed.")
    inbox_item_id: strawberry.ID | None = strawberry.field(description="The inbox item of its review, if you see it.")
    runs = strawberry.field(description="Newest first.")
    invocation_count = strawberry.field(description="The number of runs that completed or failed.")


@node(RoutineVersion)
class RoutineVersionType:
    """A definition of a routine, which never changes."""

    fields = """
        id routine number is_head definition_hash dsl_version definition source author_type author_id parent_version
        change_summary created_at
    """
    number = strawberry.field(description="Counted from 1.")
    is_head = strawberry.field(description="True for the version that runs.")
    definition = strawberry.field(description="The values of the definition.")
    source = strawberry.field(description="The definition as it was sent, in JSON or YAML.")
    author_id = strawberry.field(description="Id of a user or an agent, or the workspace of a bundle.")
    parent_version = strawberry.field(description="The version that was the head before.")


@strawberry.type
class RoutineQuery:
    routines = query(routine_ops.list_routines, RoutineType)
    routine = query(routine_ops.get_routine, RoutineType)
    routine_versions = query(routine_ops.list_routine_versions, RoutineVersionType)
    routine_version = query(routine_ops.get_routine_version, RoutineVersionType)
    routine_diff = query(routine_ops.compare_routine_versions)
    routine_bundle = query(routine_ops.export_routine)
    routine_check = query(routine_ops.validate_routine)
    routine_language = query(routine_ops.routine_schema)


@strawberry.type
class RoutineMutation:
    save_routine = mutation(routine_ops.save_routine, RoutineType)
    update_routine = mutation(routine_ops.update_routine, RoutineType)
    delete_routine = mutation(routine_ops.delete_routine)
    import_routine = mutation(routine_ops.import_routine, RoutineType)
    rollback_routine = mutation(routine_ops.roll_back_routine, RoutineType)
    set_routine_appearance = mutation(routine_ops.set_routine_appearance, RoutineType)
    add_routine_tags = mutation(routine_ops.add_routine_tags)
    remove_routine_tag = mutation(routine_ops.remove_routine_tag)
    approve_routine = mutation(routine_ops.approve_routine)
    reject_routine = mutation(routine_ops.reject_routine)
    enable_routine = mutation(routine_ops.enable_routine)
