"""Live channels: from rows of the outbox and frames of runs to all listeners.

One reader per process (`tail`) feeds the listeners of its channels (`hub`). A `Subscription` keeps its position in the
order of the tables, so replay, a slow reader and a lost connection are the same case: being behind. A `LiveConnection`
holds the subscriptions of one caller and the caller's rights. Each listener reads the rows of a followed list itself
(`following`). All processes learn who listens to a chat (`presence`).
"""

from resolvers.live.audience import Outlet
from resolvers.live.connection import LiveConnection, attendance
from resolvers.live.delivered import Delivered, Position
from resolvers.live.following import RowsFollowing
from resolvers.live.hub import hub
from resolvers.live.presence import presence
from resolvers.live.reading import ChatLine
from resolvers.live.subscription import FROM_NOW, Listening, Subscription
