"""Compares the rights that the service reports with the answers of calls."""

from typing import Any

from tests.generation.estate import Estate
from tests.generation.registry import graphql_fields

DOCUMENT = "query($ws: ID!) { viewerOperations(workspaceId: $ws) { name may requires { role capability scope } } }"
_KNOWN = dict[tuple[str, str], dict[str, dict[str, Any]]]()


async def rights_of(estate: Estate, who: str) -> dict[str, dict[str, Any]]:
    """Maps operations to the rights that the service reports. A person's rights do not change between cases."""
    place, person = estate.home.workspace.id, estate.person(who)
    known = _KNOWN.get((place, who))
    if known is None:
        headers = {"authorization": f"Bearer {person.token}"}
        asked = {"query": DOCUMENT, "variables": {"ws": place}}
        answer = (await estate.client.post("/graphql", json=asked, headers=headers)).json()
        assert "errors" not in answer, answer
        told = {entry["name"]: entry for entry in answer["data"]["viewerOperations"]}
        known = _KNOWN[place, who] = {name: told[fields[0][1]] for name, fields in graphql_fields().items()}
    return known
