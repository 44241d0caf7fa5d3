"""Cases of hooks, for the tests that are made for every operation."""

from models.staff.hooks import Hook, HookEvent, HookHandler
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before


@entity
def hook(plot: Plot) -> Hook:
    made = Hook(
        crew_id=plot["crew"].id,
        event=HookEvent.post_agent_stop,
        handler_kind=HookHandler.http,
        handler_config={"url": "http://127.0.0.1:9/hook"},
        matcher={"tools": ["deploy"]},
        enabled=False,
        created_by=plot.owner.user_id,
        **plot.here,
    )
    made.__dict__["secret"] = sealed_before("storm", table=Hook, column="secret", row_id=made.id)
    return made


OF_HOOK = {"id": "hook"}
CONFIG = {"url": "https://example.com/hook", "secret": "calm", "timeout_secs": 5}
GIVEN = {"event": "post_agent_stop", "handler_kind": "http", "handler_config": CONFIG}
RECIPES = {
    "hooks.create": Recipe(GIVEN),
    "hooks.update": Recipe(GIVEN, ids=OF_HOOK),
    "hooks.delete": Recipe(ids=OF_HOOK),
    "hooks.enable": Recipe(ids=OF_HOOK),
    "hooks.disable": Recipe(ids=OF_HOOK),
}
