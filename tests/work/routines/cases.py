"""Cases of routines, for the tests that are made for every operation."""

import hashlib
import json
from typing import Any

from models.work.saved_routines import (
    RoutineStateEntry,
    RoutineStatus,
    RoutineStepOverride,
    RoutineTrustGrant,
    RoutineVersion,
    SavedRoutine,
)
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe

DOCUMENT: dict[str, Any] = {
    "name": "tides",
    "integrations_required": ["charts"],
    "steps": [{"id": "a", "type": "transform", "transform": {"input": "7", "expression": "."}}],
}
SOURCE = json.dumps(DOCUMENT)
HASH = hashlib.sha256(SOURCE.encode()).hexdigest()
MANIFEST: dict[str, Any] = {
    "integrations": ["charts"], "egress": [], "credentials": [], "agents": [], "routines": [], "datastores": [],
    "tools": [], "has_http": False, "has_code": False,
}  # fmt: skip


def _routine(plot: Plot, slug: str, **more: Any) -> SavedRoutine:
    authors = {
        "author_crew_id": plot["crew"].id,
        "author_agent_id": plot["agent"].id,
        "author_user_id": plot.owner.user_id,
    }
    return SavedRoutine(
        slug=slug,
        name=slug.title(),
        description="Reads the tables",
        icon="anchor",
        color="#112233",
        definition_hash=HASH,
        manifest=MANIFEST,
        tags=["sea"],
        last_invocation_status="COMPLETED",
        **authors,
        **more,
        **plot.here,
    )


@entity
def routine(plot: Plot) -> SavedRoutine:
    return _routine(plot, "tides", approved_version=1)


@entity
def proposed_routine(plot: Plot) -> SavedRoutine:
    return _routine(plot, "ebb", status=RoutineStatus.proposed, risk_reasons=["http_step"])


@entity
def disabled_routine(plot: Plot) -> SavedRoutine:
    return _routine(plot, "flood", status=RoutineStatus.disabled)


@entity
def routine_version(plot: Plot) -> RoutineVersion:
    return RoutineVersion(
        routine_id=plot["routine"].id,
        number=1,
        definition_hash=HASH,
        source=SOURCE,
        definition=DOCUMENT,
        author_id=plot.owner.user_id,
        parent_version=1,
        change_summary="As the almanac says",
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


def _named(key: str, **values: Any) -> Recipe:
    return Recipe(values | {"slug": lambda world: world.home[key].slug})


NEW = json.dumps(DOCUMENT | {"integrations_required": []})
BUNDLE = {"name": "Kelp", "slug": "kelp", "definition": NEW}
RECIPES = {
    f"routines.{name}": _named("routine") for name in ("get", "delete", "disable", "export", "versions", "tags_remove")
} | {
    "routines.save": Recipe({"slug": "spring", "definition": NEW, "skip_test_gate": True}),
    "routines.validate": Recipe({"definition": NEW}),
    "routines.import": Recipe({"format": "crewship-pipeline-bundle/v1", "pipeline": BUNDLE}),
    "routines.update": _named("routine", name="High tides"),
    "routines.appearance": _named("routine", icon="wave"),
    "routines.tags_add": _named("routine", tags=["moon"]),
    "routines.tags_remove": _named("routine", tag="sea"),
    "routines.version": _named("routine", version=1),
    "routines.diff": _named("routine", from_version=1, to_version=1),
    "routines.rollback": _named("routine", version=1),
    "routines.approve": _named("proposed_routine"),
    "routines.reject": _named("proposed_routine"),
    "routines.enable": _named("disabled_routine"),
}
PROSE = ("routines.save",)
"""Its switches are for those who may manage the workspace."""
ADDED = {
    "routines.schema": "editors complete and check documents by it",
    "routines.update": "a name without a new version of the definition",
    "routines.validate": "all faults of a document with their lines, and nothing is stored",
}
