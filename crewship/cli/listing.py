"""Lists of a workspace in the terminal: a line each, or JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from crewship.cli import profiles
from crewship.cli.chat import find_place, find_workspace
from crewship.cli.client import Client
from crewship.cli.profiles import ClientError, Profile
from crewship.cli.subscription import FROM_NOW, subscribed
from crewship.cli.terminal import printable

ENTRY = "id ts entryType severity summary agent { slug }"
JOURNAL = (
    "query ($ws: ID!, $first: Int!, $agent: ID, $search: String) {"
    f" journal(workspaceId: $ws, first: $first, agentId: $agent, q: $search) {{ nodes {{ {ENTRY} }} }} }}"
)
EVENTS = (
    "subscription ($ws: ID!, $agent: ID, $search: String, $after: String) {"
    " journalEvents(workspaceId: $ws, agentId: $agent, q: $search, after: $after) {"
    f" ... on Event {{ cursor }} ... on JournalEntryEvent {{ entry {{ {ENTRY} }} }} }} }}"
)
DECIDE = (
    "mutation ($ws: ID!, $id: ID!, $status: JSON!, $comment: String) {"
    " decideApproval(workspaceId: $ws, input: {id: $id, status: $status, comment: $comment}) { status } }"
)
LEAST_TEXT = 24  # characters of a text beside columns


@dataclass(frozen=True)
class Listing:
    """`columns`: heading -> the text for a node."""

    field: str
    document: str
    columns: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    none: str


def _none(listed: str, one: str, wanted: Mapping[str, str | None]) -> str:
    """The text for an empty list, which depends on the filters."""
    return f"No {one} matches." if any(value is not None for value in wanted.values()) else listed


def _listing(field: str, given: str, taken: str, selection: str, none: str, **columns: Any) -> Listing:
    document = (
        f"query ($ws: ID!, $first: Int!{given}) {{ {field}(workspaceId: $ws, first: $first{taken})"
        f" {{ nodes {{ {selection} }} }} }}"
    )
    return Listing(field, document, columns, none)


RUNS = _listing(
    "runs",
    ", $agent: ID, $status: RunStatus",
    ", agentId: $agent, status: $status",
    "id agentSlug status triggerType createdAt startedAt finishedAt errorMessage",
    "No runs yet.",
    id=lambda run: run["id"],
    agent=lambda run: run["agentSlug"],
    status=lambda run: run["status"],
    began=lambda run: _ago(run["startedAt"] or run["createdAt"]),
    took=lambda run: _took(run["startedAt"], run["finishedAt"]),
    by=lambda run: run["triggerType"],
    error=lambda run: run["errorMessage"],
)
ISSUES = _listing(
    "issues",
    ", $status: [MissionStatus!], $search: String",
    ", status: $status, search: $search",
    "id identifier title status priority assigneeName updatedAt crew { slug }",
    "No issues yet.",
    issue=lambda issue: issue["identifier"] or issue["id"],
    status=lambda issue: issue["status"],
    priority=lambda issue: issue["priority"],
    crew=lambda issue: (issue["crew"] or {}).get("slug"),
    assignee=lambda issue: issue["assigneeName"],
    changed=lambda issue: _ago(issue["updatedAt"]),
    title=lambda issue: issue["title"],
)
MISSIONS = _listing(
    "missions",
    ", $status: String",
    ", status: $status",
    "id title status updatedAt crew { slug } taskStats { total completed failed }",
    "No missions yet.",
    id=lambda mission: mission["id"],
    status=lambda mission: mission["status"],
    crew=lambda mission: (mission["crew"] or {}).get("slug"),
    tasks=lambda mission: _tasks(mission["taskStats"]),
    changed=lambda mission: _ago(mission["updatedAt"]),
    title=lambda mission: mission["title"],
)
APPROVALS = _listing(
    "approvals",
    ", $status: String",
    ", status: $status",
    "id kind reason tool status createdAt agent { slug }",
    "No approvals are pending.",
    id=lambda approval: approval["id"],
    status=lambda approval: approval["status"],
    agent=lambda approval: (approval["agent"] or {}).get("slug"),
    asked=lambda approval: _ago(approval["createdAt"]),
    what=lambda approval: f"{approval['tool'] or approval['kind']}: {approval['reason']}",
)
PROFILES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "": lambda profile: "*" if profile["inUse"] else " ",
    "name": lambda profile: profile["name"],
    "workspace": lambda profile: profile["workspace"],
    "server": lambda profile: profile["server"],
}


async def show(profile: Profile, listing: Listing, number: int, as_json: bool, **wanted: str | None) -> int:
    """The newest, as a table or as JSON."""
    client = Client(profile)
    try:
        given = await _variables(client, **wanted)
        nodes = (await client.graphql(listing.document, first=number, **given))[listing.field]["nodes"]
    finally:
        await client.close()
    if as_json:
        print(json.dumps(nodes, ensure_ascii=False, indent=2))
    elif nodes:
        _print_table(listing.columns, nodes)
    else:
        print(_none(listing.none, listing.field.removesuffix("s"), wanted), file=sys.stderr)
    return 0


def show_profiles(as_json: bool) -> None:
    found = {name: profiles.read(profiles.place_of(name)) for name in profiles.names()}
    nodes = [
        {"name": name, "inUse": name == profiles.in_use(), "server": each.server, "workspace": each.workspace}
        for name, each in found.items()
    ]
    if as_json:
        print(json.dumps(nodes, ensure_ascii=False, indent=2))
    elif nodes:
        _print_table(PROFILES, nodes)
    else:
        print("No profiles yet: `crewship login` creates one.", file=sys.stderr)


async def decide(profile: Profile, id: str, *, approved: bool, comment: str | None, as_json: bool) -> int:
    """Decides on an approval, and prints its new state."""
    client, status = Client(profile), "approved" if approved else "denied"
    try:
        given = await _variables(client)
        decided = (await client.graphql(DECIDE, id=id, status=status, comment=comment, **given))["decideApproval"]
    finally:
        await client.close()
    status = str(decided["status"]).lower()
    if as_json:
        print(json.dumps({"id": id, "status": status, "comment": comment}, ensure_ascii=False, indent=2))
    else:
        print(f"{id} is {status}.", file=sys.stderr)
    return 0


async def show_journal(profile: Profile, number: int, as_json: bool, **wanted: str | None) -> int:
    """The newest entries, the newest last."""
    client = Client(profile)
    try:
        given = await _variables(client, **wanted)
        nodes = (await client.graphql(JOURNAL, first=number, **given))["journal"]["nodes"][::-1]
    finally:
        await client.close()
    if as_json:
        print(json.dumps(nodes, ensure_ascii=False, indent=2))
    elif nodes:
        for entry in nodes:
            _print_entry(entry, False)
    else:
        print(_none("No entries yet.", "entry", wanted), file=sys.stderr)
    return 0


async def follow_journal(profile: Profile, number: int, as_json: bool, **wanted: str | None) -> int:
    """The newest entries, and then each as it is made. Begins to listen before it looks, and shows no entry twice."""
    client = Client(profile)
    try:
        given = await _variables(client, **wanted)
        seen: set[str] | None = None
        async for event in subscribed(client, EVENTS, "journalEvents", after=FROM_NOW, **given):
            if seen is None:
                seen = await _newest(client, number, as_json, given)
            entry = event.get("entry")
            if entry is not None and entry["id"] not in seen:
                _print_entry(entry, as_json)
    finally:
        await client.close()
    return 0


async def _newest(client: Client, number: int, as_json: bool, given: Mapping[str, Any]) -> set[str]:
    nodes = (await client.graphql(JOURNAL, first=number, **given))["journal"]["nodes"]
    for entry in reversed(nodes):
        _print_entry(entry, as_json)
    return {entry["id"] for entry in nodes}


async def _variables(client: Client, agent: str | None = None, **wanted: str | None) -> dict[str, Any]:
    """The workspace, and what was asked for, in the variables of the documents."""
    if client.profile.token is None:
        raise ClientError("no token: run `crewship login`, or set --token or CREWSHIP_TOKEN")
    given = {name: value for name, value in wanted.items() if value is not None}
    if agent is None:
        return given | {"ws": (await find_workspace(client))["id"]}
    place = await find_place(client, agent)
    return given | {"ws": place.workspace_id, "agent": place.agent_id}


def _print_table(columns: Mapping[str, Callable[[Mapping[str, Any]], Any]], nodes: Sequence[Mapping[str, Any]]) -> None:
    """Prints at the width of the terminal; for programs, one complete line per row with tabs."""
    rows = [[_cell(value(node)) for value in columns.values()] for node in nodes]
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    console = Console(highlight=False, emoji=False, markup=False)
    for line, style in _lines(list(columns), rows, console.width):
        console.print(Text(line.rstrip(), style), no_wrap=True, crop=False, overflow="ignore")


def _lines(names: list[str], rows: list[list[str]], width: int) -> Iterator[tuple[str, str]]:
    """Columns are ordered by importance, with texts in the last one. If there is no room for the text, it gets a line
    of its own, and columns are dropped from the right. Values are never cut.
    """
    widths = [max(cell_len(row[n]) for row in [names, *rows]) for n in range(len(names))]
    shown = list(range(len(names) - 1))
    below = width - sum(widths[n] + 2 for n in shown) < min(LEAST_TEXT, widths[-1])
    while below and len(shown) > 2 and sum(widths[n] + 2 for n in shown) - 2 > width:
        shown.pop()
    for row, style in [(names, "dim"), *((row, "") for row in rows)]:
        line = "  ".join(set_cell_size(row[n], widths[n]) for n in shown)
        if not below:
            yield f"{line}  {_cut(row[-1], width - cell_len(line) - 2)}", style
            continue
        yield line, style
        if row is not names and row[-1]:
            yield f"  {_cut(row[-1], width - 2)}", "dim"


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def _cell(value: Any) -> str:
    return " ".join(printable("" if value is None else str(value)).split())


def _print_entry(entry: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(entry, ensure_ascii=False), flush=True)
        return
    agent = (entry["agent"] or {}).get("slug") or "-"
    said = printable(entry["summary"]).replace("\n", " ")
    print(f"{entry['ts'][:19]}  {entry['severity']:<7} {entry['entryType']:<24} {agent:<16} {said}", flush=True)


def _ago(moment: str) -> str:
    return f"{_span((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())} ago"


def _took(began: str | None, ended: str | None) -> str:
    if began is None:
        return "waits"
    end = datetime.now(UTC) if ended is None else datetime.fromisoformat(ended)
    return _span((end - datetime.fromisoformat(began)).total_seconds())


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _tasks(stats: Mapping[str, int]) -> str:
    failed = f", {stats['failed']} failed" if stats["failed"] else ""
    return f"{stats['completed']} of {stats['total']}{failed}"
