"""Live channels: from rows of the outbox and frames of runs to everybody who listens.

One reader a process (`tail`) feeds the listeners of its channels (`hub`). A `Subscription` keeps its place in the order
of the tables, so that replay, a slow reader and a lost connection are one and the same thing: being behind. A
`LiveConnection` holds the subscriptions of one caller and what the caller may. Rows of a list that are listened to are
read by each listener (`following`). Who listens to a chat is told to all processes (`presence`).
"""

from resolvers.live.audience import Outlet
from resolvers.live.connection import LiveConnection, attendance
from resolvers.live.delivered import Delivered, Position
from resolvers.live.following import RowsFollowing
from resolvers.live.hub import hub
from resolvers.live.presence import presence
from resolvers.live.subscription import FROM_NOW, Listening, Subscription
