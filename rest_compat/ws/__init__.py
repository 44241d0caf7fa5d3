"""/ws: one WebSocket for everything live, channels and chats (contract: websocket.yaml)."""

from rest_compat.ws.endpoint import websocket

PATH = "/ws"

__all__ = ["PATH", "websocket"]
