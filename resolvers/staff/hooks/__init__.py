"""Hooks: HTTP calls and commands at events in the work of agents."""

from resolvers.kernel import Domain
from resolvers.staff.hooks.hooks import (
    HookDeleted,
    HookList,
    HookToggled,
    HookView,
    create_hook,
    delete_hook,
    disable_hook,
    enable_hook,
    list_hooks,
    update_hook,
)

DOMAIN = Domain("hooks", scopes="workspace")
