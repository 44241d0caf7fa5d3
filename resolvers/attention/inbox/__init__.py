"""The inbox of a workspace: items for its members."""

from resolvers.attention.inbox.changes import purge, update_item, update_items
from resolvers.attention.inbox.listing import InboxCount, count_inbox, get_item, list_inbox
from resolvers.kernel import Domain

DOMAIN = Domain("inbox", scopes="workspace")
