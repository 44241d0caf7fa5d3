"""GraphQL: hooks."""

import strawberry

from resolvers.staff import hooks as hook_ops
from schema.bridge.fields import mutation, output, query

output(hook_ops.HookView, name="Hook", fields={"crew_id": "Null for a hook of all crews."})


@strawberry.type
class HookQuery:
    hooks = query(hook_ops.list_hooks)


@strawberry.type
class HookMutation:
    create_hook = mutation(hook_ops.create_hook)
    update_hook = mutation(hook_ops.update_hook)
    delete_hook = mutation(hook_ops.delete_hook)
    enable_hook = mutation(hook_ops.enable_hook)
    disable_hook = mutation(hook_ops.disable_hook)
