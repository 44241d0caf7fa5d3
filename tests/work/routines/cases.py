"""Cases of routines, for the tests that are made for every operation."""

from models.work.saved_routines import (
    RoutineStateEntry,
    RoutineStepOverride,
    RoutineTrustGrant,
    RoutineVersion,
    SavedRoutine,
)
from tests.generation.entities import Plot, entity

HASH = "0" * 64


@entity
def routine(plot: Plot) -> SavedRoutine:
    return SavedRoutine(
        slug="tides",
        name="Tides",
        definition_hash=HASH,
        manifest={},
        author_crew_id=plot["crew"].id,
        author_user_id=plot.owner.user_id,
        **plot.here,
    )


@entity
def routine_version(plot: Plot) -> RoutineVersion:
    return RoutineVersion(
        routine_id=plot["routine"].id,
        number=1,
        definition_hash=HASH,
        source="{}",
        definition={},
        author_id=plot.owner.user_id,
        **plot.here,
    )


@entity
def routine_override(plot: Plot) -> RoutineStepOverride:
    return RoutineStepOverride(routine_id=plot["routine"].id, step_id="a", prompt="Hoist", **plot.here)


@entity
def routine_state(plot: Plot) -> RoutineStateEntry:
    return RoutineStateEntry(routine_id=plot["routine"].id, key="n", value="1", **plot.here)


@entity
def routine_grant(plot: Plot) -> RoutineTrustGrant:
    return RoutineTrustGrant(
        routine_id=plot["routine"].id,
        step_id="a",
        definition_hash=HASH,
        granted_by_user_id=plot.owner.user_id,
        **plot.here,
    )
