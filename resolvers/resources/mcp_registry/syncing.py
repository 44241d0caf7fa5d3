"""The sync of the mirror: page by page, from the registry that the operator names."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from sqlalchemy import func, select
from sqlmodel import col

from models import bounds
from models.kernel import REGISTRY_SYNC, InstanceFact
from models.resources.mcp_registry import McpRegistryServer
from resolvers.instance.outbound import Outbound
from resolvers.kernel import (
    AcrossWorkspaces,
    Action,
    Code,
    Context,
    NoInput,
    Output,
    Reach,
    Refusal,
    clock,
    command,
    instance,
    job,
)
from resolvers.kernel.store.across import of_instance

PAGE, MOST_PAGES = 100, 200
LARGEST_PAGE, TIMEOUT = 8 << 20, 30.0  # bytes, seconds
MOST_VARIABLES = 100
BETWEEN = timedelta(hours=1)
A_DAY = timedelta(days=1)
OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
TOO_SOON = "The registry was synchronised within the last hour"

SYNC = job("mcp_registry.sync", NoInput, unique="all", of_instance=True, attempts=4)
DAILY = clock("mcp_registry.daily", every=BETWEEN)

_TEXTS = (
    "id", "name", "display_name", "description", "transport", "source_url", "package_name", "package_registry",
    "command", "endpoint", "auth_type", "env_vars_json", "homepage_url",
)  # fmt: skip
CHOSEN = ("name", "icon", "category", "trust_tier", "is_featured")
"""The columns that a sync leaves unchanged."""


class SyncStarted(Output):
    """The registry is being synchronised in the background."""

    status: str = "sync_started"
    message: str = "The registry is being synchronised in the background"


@dataclass(frozen=True, slots=True)
class RegistryPage:
    """Entries as they are stored, and where the next page begins, if there is one."""

    entries: list[dict[str, Any]]
    cursor: str | None


@command(
    "mcp_registry.sync",
    Action.MANAGE,
    audit="mcp_registry.synced",
    errors=(Code.RATE_LIMITED,),
    reach=Reach.INSTANCE,
)
async def sync_registry(ctx: Context, data: NoInput) -> SyncStarted:
    """Synchronise the MCP registry.

    Runs in the background, at most once an hour over all workspaces. Afterwards the registry is synchronised
    daily.
    """
    await ctx.lock(REGISTRY_SYNC)
    now = await ctx.now()
    last = await ctx.select(InstanceFact, col(InstanceFact.name) == REGISTRY_SYNC).first()
    if last is not None and now - datetime.fromisoformat(last.value) < BETWEEN:
        raise Refusal(Code.RATE_LIMITED, TOO_SOON)
    await ctx.upsert(InstanceFact(name=REGISTRY_SYNC, value=now.isoformat()), "name")
    ctx.enqueue(SYNC)
    ctx.audit("INSTANCE", None)
    return SyncStarted()


async def is_due(rows: AcrossWorkspaces) -> bool:
    """Returns true if a requested mirror is a day old. The server calls no registry until an administrator requests a
    sync.
    """
    ((last,),) = await rows.everywhere.report(select(func.max(rows.everywhere.table(McpRegistryServer).c.synced_at)))
    return last is not None and instance.clock.now() - last >= A_DAY


async def fetched(http: Outbound, cursor: str | None) -> RegistryPage:
    query = {"limit": PAGE} | ({} if cursor is None else {"cursor": cursor})
    answer = await http.get(f"{instance.settings.mcp_registry_url}/v0/servers?{urlencode(query)}")
    said = answer.json() if answer.status == 200 else None
    if not isinstance(said, dict) or not isinstance(said.get("servers"), list):
        raise Refusal(
            Code.BAD_GATEWAY, (f"The registry answered with status {answer.status} and without a list of servers")
        )
    metadata = said.get("metadata")
    following = metadata.get("nextCursor") if isinstance(metadata, dict) else None
    entries = [made for raw in said["servers"][: 2 * PAGE] if (made := entry(raw)) is not None]
    return RegistryPage(entries, following if isinstance(following, str) and 0 < len(following) <= bounds.URL else None)


async def store(entries: list[dict[str, Any]], at: datetime) -> None:
    """Done again it changes nothing. Of entries of one name the last one counts."""
    named = {one["id"]: McpRegistryServer(**one, synced_at=at) for one in entries}
    async with of_instance() as tables:
        await tables.upsert(list(named.values()), "id", kept=CHOSEN)


def entry(raw: Any) -> dict[str, Any] | None:
    """The columns of an entry; None if it is not a server, or not its latest version (contract: mcp_registry.sync)."""
    server, official = _object(_object(raw).get("server")), _object(_object(_object(raw).get("_meta")).get(OFFICIAL))
    name = _text(server.get("name"), bounds.LINE)
    if not name or official.get("isLatest") is not True:
        return None
    kept = dict.fromkeys(_TEXTS, "") | {
        "id": name,
        "name": name,
        "display_name": _text(server.get("title"), bounds.LINE) or name,
        "description": bounds.cut(_text(server.get("description"), None), bounds.DESCRIPTION),
        "source_url": _text(_object(server.get("repository")).get("url"), bounds.URL),
        "transport": "stdio",
        "env_vars_json": "[]",
        "is_verified": official.get("status") == "active",
    }
    return kept | (_of_package(server) or _of_remote(server) | _home_of(server))


def _home_of(server: dict[str, Any]) -> dict[str, Any]:
    """The home of a server; packages have none (contract: mcp_registry.sync)."""
    home = _text(server.get("websiteUrl"), bounds.URL)
    return {"homepage_url": home} if home.startswith(("https://", "http://")) else {}


def _of_package(server: dict[str, Any]) -> dict[str, Any] | None:
    package = _first(server.get("packages"))
    return package and {
        "transport": _text(_object(package.get("transport")).get("type"), bounds.LINE) or "stdio",
        "package_name": _text(package.get("identifier"), bounds.LINE),
        "package_registry": _text(package.get("registryType"), bounds.LINE),
        "command": _text(package.get("runtimeHint"), bounds.LINE),
        "env_vars_json": _variables(package.get("environmentVariables")),
    }


def _of_remote(server: dict[str, Any]) -> dict[str, Any]:
    remote = _first(server.get("remotes"))
    return (
        {}
        if remote is None
        else {
            "transport": _text(remote.get("type"), bounds.LINE),
            "endpoint": _text(remote.get("url"), bounds.URL),
            "auth_type": "header" if _first(remote.get("headers")) else "",
            "env_vars_json": _variables(remote.get("headers")),
        }
    )


def _variables(raw: Any) -> str:
    """A JSON text. Too much of it is nothing: half a list would be a wrong one."""
    listed = [_object(one) for one in raw[:MOST_VARIABLES]] if isinstance(raw, list) else []
    told = [
        {
            "name": _text(one.get("name"), bounds.LINE),
            "description": _text(one.get("description"), None),
            "isRequired": one.get("isRequired") is True,
            "isSecret": one.get("isSecret") is True,
        }
        for one in listed
        if one.get("name")
    ]
    text = orjson.dumps(told).decode()
    return text if len(text) <= bounds.CONFIG else "[]"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: Any) -> dict[str, Any] | None:
    return next((one for one in value if isinstance(one, dict)), None) if isinstance(value, list) else None


def _text(value: Any, most: int | None) -> str:
    """Empty for an invalid or too long text: a part of a name or a URL would mean another one."""
    return value if isinstance(value, str) and "\0" not in value and (most is None or len(value) <= most) else ""
