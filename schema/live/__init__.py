"""GraphQL subscriptions over WebSocket and HTTP.

An operation's document is compiled to a `Projection` (projection.py) and a channel (subscription.py); resolvers.live
delivers the channel's events, and a transport (transport_ws.py, http.py) writes the projection of each, encoded once
for all who select the same.
"""

from schema.live.fields import Channels, followed
from schema.live.http import EventStreams, multipart
from schema.live.transport_ws import Sockets

__all__ = ["Channels", "EventStreams", "Sockets", "followed", "multipart"]
