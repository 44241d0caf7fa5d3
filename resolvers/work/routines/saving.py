"""Saving of a routine by a person: a new one, or a change of the one with this slug."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.saved_routines import LONGEST_SLUG, LONGEST_SUMMARY, RoutineAuthorType, RoutineOrigin, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    Action,
    Bool,
    Code,
    Context,
    Description,
    Emptied,
    Id,
    Input,
    Ref,
    Refusal,
    Text,
    command,
    forbidden,
)
from resolvers.kernel.ground.policy import GATES, lowest
from resolvers.work.routines.definitions import DefinitionText, read_definition
from resolvers.work.routines.events import RoutinesChanged
from resolvers.work.routines.save_tokens import is_save_token
from resolvers.work.routines.storing import Wanted, drafted, stored

SLUG: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
RoutineSlug = Annotated[str, Field(strict=True, pattern=SLUG, max_length=LONGEST_SLUG)]
RoutineName = Annotated[str, Field(strict=True, max_length=bounds.LABEL)]
UNTESTED: Final = "Saving requires a save_token of the last five minutes for this definition, or skip_test_gate"
BAD_TOKEN: Final = "The save_token is of another definition or user, or older than five minutes"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _one_line(raw: Any) -> Any:
    """Control characters become blanks; a longer text is cut (contract: routines.save, change_summary)."""
    return _CONTROLS.sub(" ", raw)[:LONGEST_SUMMARY] if isinstance(raw, str) else raw


ChangeSummary = Annotated[str, BeforeValidator(_one_line), Field(strict=True, max_length=LONGEST_SUMMARY)]


class SaveRoutine(Input):
    """`slug` names a routine of the workspace, or a new one. Without a name, a description or a crew, a known routine
    keeps its own.

    `author_crew_id`: the crew whose agents, integrations and credentials the steps use. `author_agent_id`: the agent of
    that crew that actions of steps are taken as. `save_token`: from `routineCheck`, of the same definition and user.
    `skip_test_gate` and `skip_governance_gate` require the right to manage the workspace.
    """

    slug: RoutineSlug
    definition: DefinitionText
    name: RoutineName | None = None
    description: Description | None = None
    author_crew_id: Annotated[Emptied[Id], Ref(Crew)] = None
    author_agent_id: Annotated[Emptied[Id], Ref(Agent)] = None
    save_token: Text = ""
    skip_test_gate: Bool = False
    skip_governance_gate: Bool = False
    change_summary: ChangeSummary = ""


@command(
    "routines.save",
    Action.CREATE,
    audit="routine.saved",
    emits=(RoutinesChanged, InboxItemUpdated),
    errors=(Code.CONFLICT, Code.FORBIDDEN, Code.UNPROCESSABLE),
    late=True,
)
async def save_routine(ctx: Context, data: SaveRoutine) -> SavedRoutine:
    """Save a routine.

    Creates it, or gives the one with this slug a new version; a version with the same bytes becomes the head again. A
    deleted routine is restored under its old id. A definition that can reach out further than the one before, by
    addresses, code, credentials or integrations that the crew lacks, is `proposed` until it is approved. UNPROCESSABLE
    has all faults of the definition, with their lines.
    """
    for flag in ("skip_test_gate", "skip_governance_gate"):
        if getattr(data, flag) and not ctx.may(Action.MANAGE):
            raise forbidden(f"{flag} requires the right to manage", role=lowest(GATES[Action.MANAGE]))
    definition = await read_definition(data.definition)
    await ctx.begin()
    wanted = Wanted(
        slug=data.slug,
        definition=definition,
        name=data.name,
        description=data.description,
        author_crew_id=data.author_crew_id,
        author_agent_id=data.author_agent_id,
        change_summary=data.change_summary,
        origin=RoutineOrigin.user_api,
        author_type=RoutineAuthorType.user,
        author_id=ctx.user_id,
        without_review=data.skip_governance_gate,
    )
    draft = await drafted(ctx, wanted)
    if data.save_token:
        if not is_save_token(data.save_token, ctx.workspace_id or "", definition.hash, ctx.user_id):
            raise Refusal(Code.UNPROCESSABLE, BAD_TOKEN)
    elif not data.skip_test_gate:
        raise Refusal(Code.UNPROCESSABLE, UNTESTED)
    return await stored(ctx, draft)
