"""What is measured: the cases, their requests, and the answer that each must give."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.dataset import Workspace

TARGETS = 1000  # different requests in one load


@dataclass(frozen=True)
class Case:
    """`kind` names the request; two cases may send the same one over different numbers of connections."""

    name: str
    kind: str
    title: str
    connections: int = 16
    alone: bool = False  # everybody asks for the same


CASES = (
    Case("A", "A", "REST, list of 50 crews with counts"),
    Case("B", "B", "REST, one crew"),
    Case("D", "D", "GraphQL, 50 crews x 6 agents"),
    Case("E", "E", "GraphQL, one crew"),
    Case("G", "G", "GraphQL, eight root fields: one crew each"),
    Case("C", "C", "REST, create an issue: counter, row, audit, event in one transaction"),
    Case("C32", "C", "the same with 32 writers", connections=32),
    Case("U", "U", "REST, update of 50 crews in turn: lock, change, version, audit, event in one transaction"),
    Case("U1", "U", "the same of one crew, by 16 clients", alone=True),
)


@dataclass(frozen=True)
class Target:
    """Who asks for what."""

    workspace: str
    crew: str
    token: str


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: str = ""

    def line(self, target: Target) -> str:
        """As bench/load.lua reads it."""
        return "\t".join((self.method, self.path, target.token, self.body))


Requests = dict[str, Callable[[Target], Request]]  # by Case.kind


def targets(workspaces: list[Workspace]) -> list[Target]:
    source = random.Random(1)
    chosen = [source.choice(workspaces) for _ in range(TARGETS)]
    return [
        Target(workspace.id, source.choice(workspace.crews).id, source.choice(workspace.users).token)
        for workspace in chosen
    ]


def graphql(query: str, **variables: str) -> Request:
    return Request("POST", "/graphql", json.dumps({"query": query, "variables": variables}))


ISSUE = {"title": "A new issue", "description": "What to do and why", "priority": "high"}
CREWS_QUERY = "query Crews($ws: ID!) { crews(workspaceId: $ws) { id name slug agents { id name status } } }"
CREW_QUERY = "query Crew($ws: ID!, $id: ID!) { crew(workspaceId: $ws, id: $id) { id name slug } }"


def _update(target: Target) -> Request:
    return Request(
        "PATCH",
        f"/api/v1/crews/{target.crew}?workspace_id={target.workspace}",
        json.dumps({"description": "What the crew does"}),
    )


ROOTS = 8
_ROOTS = " ".join(f"c{n}: crew(workspaceId: $ws, id: $id) {{ id name slug }}" for n in range(ROOTS))
ROOTS_QUERY = f"query Roots($ws: ID!, $id: ID!) {{ {_ROOTS} }}"


# The floors, FastAPI and the Node servers speak the same small API.
REFERENCE: Requests = {
    "A": lambda target: Request("GET", f"/api/v1/crews?workspace_id={target.workspace}"),
    "B": lambda target: Request("GET", f"/api/v1/crews/{target.crew}?workspace_id={target.workspace}"),
    "C": lambda target: Request(
        "POST", f"/api/v1/issues?workspace_id={target.workspace}", json.dumps({"crew_id": target.crew, **ISSUE})
    ),
    "D": lambda target: graphql(CREWS_QUERY, ws=target.workspace),
    "E": lambda target: graphql(CREW_QUERY, ws=target.workspace, id=target.crew),
    "G": lambda target: graphql(ROOTS_QUERY, ws=target.workspace, id=target.crew),
    "U": _update,
}


_POSTGRAPHILE_CREW = """
    rowId workspaceId name slug description color icon avatarStyle containerMemoryMb containerCpus containerTtlHours
    networkMode allowedDomains runtimeImage devcontainer mcpConfig cachedImage maxAgents issuePrefix issueCounter
    budgetUsd createdBy createdAt updatedAt deletedAt
    agentsByCrewId { totalCount } crewMembersByCrewId { totalCount }"""
_POSTGRAPHILE_AGENTS = "agentsByCrewId(orderBy: [CREATED_AT_ASC, ROW_ID_ASC]) { nodes { rowId name status } }"
_POSTGRAPHILE_PAGE = (
    "allCrews(condition: {workspaceId: $ws, deletedAt: null}, first: 50, orderBy: [CREATED_AT_DESC, ROW_ID_ASC])"
)
POSTGRAPHILE: Requests = {
    "A": lambda target: graphql(
        f"query A($ws: String!) {{ {_POSTGRAPHILE_PAGE} {{ nodes {{ {_POSTGRAPHILE_CREW} }} }} }}", ws=target.workspace
    ),
    "D": lambda target: graphql(
        f"query D($ws: String!) {{ {_POSTGRAPHILE_PAGE} {{ nodes {{ rowId name slug {_POSTGRAPHILE_AGENTS} }} }} }}",
        ws=target.workspace,
    ),
    "E": lambda target: graphql(
        "query E($id: String!) { crewByRowId(rowId: $id) { rowId name slug } }", id=target.crew
    ),
}

SERVICE_CREWS_QUERY = (
    "query Crews($ws: ID!) { crews(workspaceId: $ws) { nodes { id name slug agents { nodes { id name status } } } } }"
)
SERVICE: Requests = {
    **REFERENCE,
    "D": lambda target: graphql(SERVICE_CREWS_QUERY, ws=target.workspace),
    "L": lambda target: Request("GET", f"/api/v1/agents?workspace_id={target.workspace}&limit=500"),
}


def plain(answer: Any) -> Any:
    """An answer in the words of the reference: connections are lists, counts are numbers, names are snake case."""
    if isinstance(answer, list):
        return [plain(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    if "nodes" in answer:
        return plain(answer["nodes"])
    if "totalCount" in answer:
        return answer["totalCount"]
    made = {_RENAMED.get(name) or _snake(name): plain(value) for name, value in answer.items()}
    return made | made.pop("_count", {})


_RENAMED = {"rowId": "id", "agentsByCrewId": "agents", "crewMembersByCrewId": "members"}


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def payload(kind: str, body: bytes) -> Any:
    """What the answer says, its envelope removed."""
    answer = json.loads(body)
    if isinstance(answer, dict) and answer.get("errors"):
        raise ValueError(answer["errors"])
    if kind == "G":
        answer = {"data": {"roots": list(answer["data"].values())}}
    if kind in "DEG" or (isinstance(answer, dict) and "data" in answer):
        (answer,) = answer["data"].values()
    return plain(answer)
