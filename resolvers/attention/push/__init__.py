"""Web Push: what needs attention reaches the browsers of those who may see it, with no page open (docs/console.md)."""

from resolvers.attention.push.keys import prepare_push
from resolvers.attention.push.subscriptions import (
    delete_subscription,
    list_subscriptions,
    register_push,
    test_push,
    update_subscription,
)
from resolvers.kernel import Domain

DOMAIN = Domain("push", scopes=None)
