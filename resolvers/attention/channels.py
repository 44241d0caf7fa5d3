"""Access to channels. A Channel proves the right to listen: only `open_channel` creates one (contract:
websocket.channels).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import orjson
from sqlalchemy import func, select
from sqlmodel import SQLModel

from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import (
    EVERYONE,
    NO_SURFACE,
    Action,
    ById,
    Caller,
    Code,
    Context,
    Domain,
    Entity,
    Id,
    Input,
    NoInput,
    Output,
    QueryScope,
    Refusal,
    Rows,
    Tenancy,
    graph,
    is_id,
    procedure,
    query,
)
from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.ground.inputs import at_most
from resolvers.kernel.ground.scopes import EVERYTHING, OPEN
from resolvers.kernel.reader import View
from resolvers.kernel.writing.command import Procedure
from resolvers.kernel.writing.reports import first_with

DOMAIN = Domain("channels", scopes=(EVERYTHING,))  # a channel carries what happens in several domains

UNKNOWN = "Channel not found"
PATIENCE = 5.0  # seconds that a connection waits to know its user; clients give up a handshake after ten


class ChannelKind(StrEnum):
    workspace = "workspace"
    crew = "crew"
    agent = "agent"
    session = "session"  # of a chat
    mission = "mission"
    keeper = "keeper"
    files = "files"
    user = "user"
    providers = "providers"


@dataclass(frozen=True, slots=True)
class Channel:
    """`name` is what clients call it. A replay reaches back to `since` at most, when the caller became a member.
    `role`: the caller's, in the workspace.
    """

    name: str
    kind: ChannelKind
    id: str
    workspace_id: str | None
    since: datetime | None
    role: Role | None = None

    @property
    def address(self) -> str:
        """The address under which the channel's events are stored and delivered: unique on the instance, unlike the id
        of a chat.
        """
        return address_of(self.name, self.workspace_id)


class Admission(Output):
    """The workspace of a channel, the time the caller joined it (RFC 3339 with microseconds), and the role there."""

    workspace_id: str | None = None
    since: str | None = None
    role: Role | None = None


class Identity(Output):
    """The user of a credential."""

    user_id: str


async def _admission(ctx: Context) -> Admission:
    member = await first_with(ctx, Membership, user_id=ctx.user_id, including_hidden=True)
    since = None if member is None else member.created_at.isoformat()
    return Admission(workspace_id=ctx.workspace_id, since=since, role=ctx.role)


@procedure("channels.workspace", Action.READ, surfaces=NO_SURFACE, tickets=True)
async def _workspace(ctx: Context, data: NoInput) -> Admission:
    """Open a channel of a workspace.

    The channel of the workspace itself, or of its keeper.
    """
    return await _admission(ctx)


def _door(kind: ChannelKind, model: type[SQLModel], *scopes: str) -> Procedure[ById, Admission]:
    @procedure(
        f"channels.{kind}", Action.READ, tenancy=Entity(model, "id"), surfaces=NO_SURFACE, tickets=True, scopes=scopes
    )
    async def admit(ctx: Context, data: ById) -> Admission:
        """Open a channel of a row.

        For channels named by the id of a row that is not deleted.
        """
        return await _admission(ctx)

    return admit


@procedure("channels.user", Action.SELF, tenancy=Tenancy.NONE, surfaces=NO_SURFACE, tickets=True)
async def _user(ctx: Context, data: ById) -> Admission:
    """Open the channel of a user.

    Only the caller's own.
    """
    if data.id != ctx.user_id:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    return Admission()


@procedure("channels.providers", Action.NONE, tenancy=Tenancy.NONE, surfaces=NO_SURFACE, tickets=True, scopes=OPEN)
async def _providers(ctx: Context, data: NoInput) -> Admission:
    """Open the channel of model providers.

    Available to every user.
    """
    return Admission()


@procedure("channels.identify", Action.NONE, tenancy=Tenancy.NONE, surfaces=NO_SURFACE, tickets=True, scopes=OPEN)
async def _identify(ctx: Context, data: NoInput) -> Identity:
    """Identify the user of a live connection."""
    return Identity(user_id=ctx.user_id)


_crew = _door(ChannelKind.crew, Crew, "crews:read")  # its files have a channel too

KINDS = frozenset(kind.value for kind in ChannelKind)
_DOORS: Mapping[ChannelKind, Procedure[Any, Admission]] = {
    ChannelKind.workspace: _workspace,
    ChannelKind.keeper: _workspace,
    ChannelKind.crew: _crew,
    ChannelKind.files: _crew,
    ChannelKind.agent: _door(ChannelKind.agent, Agent, "agents:read", "chats:read"),
    ChannelKind.session: _door(ChannelKind.session, Chat, "chats:read"),
    ChannelKind.mission: _door(ChannelKind.mission, Mission, EVERYTHING),
    ChannelKind.user: _user,
    ChannelKind.providers: _providers,
}


async def open_channel(caller: Caller, name: str, within: str | None = None) -> Channel:
    """The channel of that name if the caller may listen to it now, otherwise the Refusal. Unknown and foreign channels
    get the same one.

    `within`: the workspace in which it was opened before; a channel of the same name elsewhere does not match.
    """
    prefix, _, id = name.partition(":")
    if prefix not in KINDS or (not id and prefix != ChannelKind.providers) or "\0" in name:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    kind = ChannelKind(prefix)
    door = _DOORS[kind]
    if door is _workspace and not is_id(id):  # a slug is no name of a channel
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    raw = {"id": id} if door.input is ById else {}
    answer = await door(caller, raw, place=id if door is _workspace else within)
    found = orjson.loads(answer.body or b"{}")
    if within is not None and found["workspace_id"] != within:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    since = None if found["since"] is None else datetime.fromisoformat(found["since"])
    shown = ChannelKind.providers if kind is ChannelKind.providers else name
    role = None if found["role"] is None else Role(found["role"])
    return Channel(shown, kind, id, found["workspace_id"], since, role)


# ---- rows that events name -------------------------------------------------------------------------------------------


MOST_ROWS = 100


class EventRow(View):
    """The place of a row that an event names; `resolvers/live/rows.py` adds the edges to the rows."""

    id: str
    workspace_id: str


class ListEventRows(Input):
    """`role`: the one for which the rows are read; for a caller with another role there are none."""

    ids: Annotated[list[Id], at_most(MOST_ROWS)]
    role: Role


graph(EventRow, gate=Action.READ, scope=frozenset({EVERYTHING}), visible=EVERYONE)


@query("channels.rows", Action.READ, surfaces=NO_SURFACE)
def list_event_rows(scope: QueryScope, data: ListEventRows) -> Rows[EventRow]:
    """List rows that events name.

    For the subscriptions of callers with one role.
    """
    places = select(func.unnest(data.ids).label("id"), scope.workspace_id.clause.label("workspace_id"))
    return scope.view(EventRow, places.where(scope.role_in(scope.workspace_id) == data.role))


async def identify(caller: Caller) -> str:
    """The id of the caller's user. Raises the Refusal if the session or token is no longer valid, and UNAVAILABLE
    before a client gives up its handshake, so that it knows to try again.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await _identify(caller, {})
    except TimeoutError:
        raise Refusal(Code.UNAVAILABLE, "The database does not answer; try again") from None
    return str(orjson.loads(answer.body or b"{}")["user_id"])
