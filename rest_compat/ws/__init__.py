"""/ws: one WebSocket for everything live, channels and chats (contract: websocket.yaml)."""

from rest_compat.ws.endpoint import websocket, without_upgrade
from rest_compat.ws.terminals import PATH as TERMINAL
from rest_compat.ws.terminals import terminal

PATH = "/ws"

__all__ = ["PATH", "TERMINAL", "terminal", "websocket", "without_upgrade"]
