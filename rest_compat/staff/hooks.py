"""REST: hooks."""

from resolvers.staff import hooks
from rest_compat.http.table import DELETE, GET, PATCH, POST

HOOKS = "/api/v1/hooks"
MOST_BODY = 64 * 1024

ROUTES = (
    GET(HOOKS, hooks.list_hooks, hooks.HookList),
    POST(HOOKS, hooks.create_hook, hooks.HookView, status=201, body_limit=MOST_BODY),
    PATCH(f"{HOOKS}/{{id}}", hooks.update_hook, hooks.HookView, body_limit=MOST_BODY),
    DELETE(f"{HOOKS}/{{id}}", hooks.delete_hook, hooks.HookDeleted),
    POST(f"{HOOKS}/{{id}}/enable", hooks.enable_hook, hooks.HookToggled),
    POST(f"{HOOKS}/{{id}}/disable", hooks.disable_hook, hooks.HookToggled),
)
