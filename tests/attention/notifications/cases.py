"""Cases of notifications, for the tests that are made for every operation."""

from models.actors import ActorType
from models.attention.notifications import Notification
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def notification(plot: Plot) -> Notification:
    return Notification(
        user_id=plot.owner.user_id,
        from_workspace_id=plot.workspace.id,
        actor_type=ActorType.user,
        actor_id=plot.second.user_id,
        actor_name="Ada",
        action="assigned",
        entity_type="issue",
        entity_id=plot["issue"].id,
        entity_title="Leak",
        read_at=now(),
    )


RECIPES = {"notifications.list": Recipe({"read": "all"})}
