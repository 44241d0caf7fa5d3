"""/ws: one WebSocket for everything live, channels and chats (contract: websocket.yaml)."""

from rest_compat.ws.endpoint import websocket, without_upgrade

PATH = "/ws"

__all__ = ["PATH", "websocket", "without_upgrade"]
