"""Cases of webhooks of routines, for the tests that are made for every operation."""

from models.work.routine_webhooks import RoutineDelivery, RoutineWebhook, RoutineWebhookOutcome
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.reader.oracle import Asker, Listing, Store, ordered
from tests.reader.words import Arguments, Order, by, tenants
from tests.world import now


@entity
def routine_webhook(plot: Plot) -> RoutineWebhook:
    routine_id = plot["routine"].id
    return RoutineWebhook(
        routine_id=routine_id,
        routine_version=1,
        name="Neap",
        token_hash=f"hash of {routine_id}"[:64],
        inputs_template={"x": "high"},
        minute_began_at=now(),
        last_fired_at=now(),
        last_status=RoutineWebhookOutcome.COMPLETED,
        last_run_id=plot["routine_run"].id,
        run_as_id=plot.owner.user_id,
        **plot.here,
    )


@entity
def routine_delivery(plot: Plot) -> RoutineDelivery:
    run_id = plot["routine_run"].id
    return RoutineDelivery(webhook_id=plot["routine_webhook"].id, key="k", proof="p", run_id=run_id, **plot.here)


IDS = {"webhook_id": "routine_webhook"}
RECIPES = {
    "routine_webhooks.create": Recipe(
        {
            "target_pipeline_slug": lambda world: world.home["runnable_routine"].slug,
            "target_pipeline_id": "",
            "scheme": "crewship",
            "signing_secret": "a secret of the sender",
        },
        chosen=frozenset({"target_pipeline_id"}),
    ),
    "routine_webhooks.delete": Recipe(ids={"id": "routine_webhook"}),
    "routine_webhooks.fire": Recipe({"token": "wh_unknown"}, refused=Code.NOT_FOUND),
}
PROSE = frozenset({"routine_webhooks.create"})
NEWEST: Order = by("-created_at", "-id")


def webhooks(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = ordered(list(tenants(store, asker, "RoutineWebhook")), NEWEST)
    return Listing("RoutineWebhook", rows, NEWEST, (500, 500), clamped=False)


READS = {"routineWebhooks": webhooks}
