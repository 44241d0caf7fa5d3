"""GraphQL: pushes to browsers."""

import strawberry

from models.attention.push import PushSubscription
from resolvers.attention import push as push_ops
from resolvers.attention.inbox.kinds import AttentionKind
from schema.bridge.fields import mutation, node, query


@node(PushSubscription)
class PushSubscriptionType:
    """A browser of the viewer that receives what needs attention in a workspace, with no page open."""

    fields = "id workspace_id label endpoint kinds failures last_error last_success_at created_at updated_at"
    endpoint = strawberry.field(
        description="The address of the push service, by which a browser finds its own subscription."
    )
    kinds: list[AttentionKind] = strawberry.field(description="Kinds of entries of `attention` that it receives.")
    failures = strawberry.field(description="Failed deliveries since the last one that succeeded.")
    last_error = strawberry.field(description="Null after a delivery that succeeded.")


@strawberry.type
class PushQuery:
    push_subscriptions = query(push_ops.list_subscriptions, PushSubscriptionType)


@strawberry.type
class PushMutation:
    prepare_push = mutation(push_ops.prepare_push)
    register_push = mutation(push_ops.register_push, PushSubscriptionType)
    update_push_subscription = mutation(push_ops.update_subscription, PushSubscriptionType)
    delete_push_subscription = mutation(push_ops.delete_subscription)
    test_push = mutation(push_ops.test_push)
