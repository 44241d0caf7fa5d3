"""Cases of agents' webhooks, for the tests that are made for every operation."""

from models.staff.webhooks import WebhookReceipt
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def webhook_receipt(plot: Plot) -> WebhookReceipt:
    return WebhookReceipt(
        agent_id=plot["agent"].id, key="k", event="ping", source="ci", scheme="body_only", run_id=plot["run"].id,
        **plot.here,
    )  # fmt: skip


RECIPES = {
    "webhooks.trigger": Recipe(refused=Code.UNAUTHENTICATED),  # nobody has signed it
    "agents.webhook_secret_rotate": Recipe(ids={"id": "agent"}),
    "webhooks.configure": Recipe(
        values={"scheme": "github", "secret": "a secret of sixteen or more"}, ids={"id": "agent"}
    ),
    "webhooks.get": Recipe(ids={"id": "agent"}),
    "webhooks.test": Recipe(ids={"id": "agent"}),
}
PROSE = frozenset({"agents.webhook_secret_rotate", "webhooks.configure", "webhooks.test"})
