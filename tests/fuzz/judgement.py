"""What may come back for what nobody should send."""

import json
from typing import Any

from resolvers.attention.notification_channels.testing import NOT_DELIVERED
from resolvers.oversight.keeper.evaluation import UNAVAILABLE
from resolvers.people.workspaces.provisioning import NO_ADDRESS
from resolvers.problem import REASON_PHRASES
from resolvers.resources.oauth.client import FAILED
from resolvers.rules.containers import NO_CONTAINERS
from resolvers.work.issues.pull_requests import FAULTS, LinkFault
from rest_compat.http.errors import PROBLEMS
from tests.fuzz.hooks import BROKEN, INSIDES, REFUSED_WITH_502

UNREADABLE = FAULTS[LinkFault.credential_unreadable][1]
UNREACHED = (
    NO_CONTAINERS, *REFUSED_WITH_502, "The MCP server could not be queried: ", FAILED, UNAVAILABLE, UNREADABLE,
    NO_ADDRESS, NOT_DELIVERED,
)  # fmt: skip
"""What a server or model that is not there is no failure of ours for (contract: skills.bulk_import says 502, and an
evaluator without a model 503; members.provision needs the address of the server).
"""

# Lists of an unknown row: empty, no refusal; with the answer (contract: agents.runs, chats.list, chats.messages).
EMPTY: dict[str, Any] = {
    "agents.runs": [], "chats.list": [], "chats.messages": {"messages": []}, "missions.list": [],
    "escalations.list": [], "escalations.purge": {"deleted": 0}, "webhooks.list": [],
    "crews.assignments.list": [], "crews.peer_conversations.list": [],
    "agents.notification_channels": {"channels": []},
}  # fmt: skip
PROBLEM = {"type", "title", "status", "detail", "instance", "error"}


def clear(status: int, body: bytes, kind: str = "") -> None:
    """An answer of REST: whatever was asked for, or a refusal of the documented shape with a text."""
    assert status < 500 or any(text.encode() in body for text in UNREACHED), (status, body[:500])
    if status >= 400 and kind.startswith("text/plain"):  # contract: oauth.callback
        assert body.strip(), status
        assert not INSIDES.search(body.decode()), body
    elif status >= 400:
        told: dict[str, Any] = json.loads(body)
        assert told.keys() >= PROBLEM, told
        assert (told["status"], told["title"]) == (status, REASON_PHRASES[status]), told
        named = "about:blank" if "code" not in told else f"{PROBLEMS}code-link/{told['code']}"
        assert told["type"] == named, told
        assert told["detail"].strip(), told
        assert all(text.strip() for text in told.get("fields", {}).values()), told
        assert not INSIDES.search(told["detail"]), told


def clear_graphql(status: int, body: bytes) -> list[dict[str, Any]]:
    """An answer of GraphQL; its errors, each with a text and a code that is no failure of ours."""
    assert status < 500, (status, body[:500])
    told = json.loads(body)
    errors: list[dict[str, Any]] = told.get("errors", [])
    assert "data" in told or errors, told
    for error in errors:
        assert error["message"].strip(), told
        assert not INSIDES.search(error["message"]), told
        assert error["extensions"]["code"] not in BROKEN or error["message"].startswith(UNREACHED), told
    return errors
