"""Cases of pushes, for the tests that are made for every operation."""

from models.attention.push import PushKey, PushNotice, PushState, PushSubscription
from resolvers.attention.push.encryption import new_key, point_of, private_text, to_text
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.reader.words import listed
from tests.sealing import sealed_before
from tests.world import now

READS = {"pushSubscriptions": listed("PushSubscription", "-created_at", "-id")}
SECRET = to_text(b"s" * 16)
POINT = to_text(point_of(new_key()))


@entity
def push_key(plot: Plot) -> PushKey:
    key = new_key()
    made = PushKey(public=to_text(point_of(key)))
    made.private = sealed_before(private_text(key), table=PushKey, column="private", row_id=made.id)
    return made


@entity
def push_subscription(plot: Plot) -> PushSubscription:
    made = PushSubscription(
        user_id=plot.owner.user_id,
        session_id=plot["session"].id,
        token_id=plot["cli_token"].id,
        label="Phone",
        endpoint="https://push.example.com/send/one",
        p256dh=POINT,
        kinds=["approval"],
        position="0" * 19,
        failures=1,
        last_error="The push service answers 500",
        last_success_at=now(),
        next_attempt_at=now(),
        **plot.here,
    )
    made.auth = sealed_before(SECRET, table=PushSubscription, column="auth", row_id=made.id)
    return made


@entity
def push_notice(plot: Plot) -> PushNotice:
    return PushNotice(
        subscription_id=plot["push_subscription"].id,
        entry="approval:one",
        state=PushState.sent,
        attempts=1,
        **plot.here,
    )


OF_SUBSCRIPTION = {"id": "push_subscription"}
GIVEN = {"endpoint": "https://push.example.com/send/two", "p256dh": POINT, "auth": SECRET, "label": "Phone"}
RECIPES = {
    "push.register": Recipe(GIVEN | {"kinds": ["question"]}),
    "push.update": Recipe({"label": "Tablet", "kinds": ["approval", "budget"]}, ids=OF_SUBSCRIPTION),
    "push.delete": Recipe(ids=OF_SUBSCRIPTION),
    "push.test": Recipe(ids=OF_SUBSCRIPTION),
}
