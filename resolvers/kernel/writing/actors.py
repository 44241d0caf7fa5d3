"""Actors: a user, an agent, or the system, stored as a type and an id."""

from typing import Any, NamedTuple

from sqlalchemy import and_, case, literal_column, null, select
from sqlmodel import col

from models.actors import ActorType
from models.base import alias_of
from models.people.auth import User, is_service_account
from models.people.workspaces import Membership
from models.staff.agents import Agent
from resolvers.errors import forbidden, invalid
from resolvers.identity.caller import CredentialKind
from resolvers.kernel.admission.guards import about_caller
from resolvers.kernel.reader import Derived, Either, either, one
from resolvers.kernel.writing.context import Context

SYSTEM_NAME = "System"
ONE: Any = literal_column("1")


class Actor(NamedTuple):
    type: ActorType
    id: str


def actor_of(ctx: Context) -> Actor:
    """The actor of this call. A part of this server is the system, by its name; a program with the internal token has
    no name.
    """
    if ctx.caller.kind is CredentialKind.INTERNAL and not ctx.user_id:
        return Actor(ActorType.system, ActorType.system.value)
    return Actor(ActorType.user, ctx.user_id) if ctx.user_id else Actor(ActorType.system, ctx.credential_id)


@about_caller
async def people_only(ctx: Context) -> None:
    """A guard for operations that make a caller an owner."""
    if is_service_account(ctx.user_id):
        raise forbidden("A service account cannot do this")


def actor_name(type_key: str, id_key: str) -> Derived:
    """The name of the actor in two columns, also of a deleted agent or a former member; null if there is none."""

    def named(row: Any, scope: Any) -> Any:
        user = alias_of(User)
        agent, own = scope.beside(Agent, row, including_deleted=True)
        users = scope.scalar(select(user.c.full_name).where(user.c.id == row[id_key]))
        agents = scope.scalar(select(agent.c.name).where(agent.c.id == row[id_key], *own))
        names = {ActorType.user: users, ActorType.agent: agents, ActorType.system: literal_column(f"'{SYSTEM_NAME}'")}
        return case(
            *[(row[type_key] == literal_column(f"'{type}'"), name) for type, name in names.items()], else_=null()
        )

    return Derived(str | None, named, Agent)


def actor(type_key: str, id_key: str) -> Either:
    """The actor in two columns as a row: an agent, or a user who is a member of the row's workspace. None for the
    system, and where only the name is left.
    """

    def is_member(row: Any, user: Any) -> Any:
        member = alias_of(Membership)
        found = [member.c.workspace_id == row["workspace_id"], member.c.user_id == user["id"]]
        tables = row[id_key].table, user["id"].table
        return and_(
            user["id"] == row[id_key],
            select(ONE).select_from(member).where(*found).correlate(*tables).exists(),
        )

    return either(type_key, {ActorType.user: one(User, on=is_member), ActorType.agent: one(Agent, id_key)})


async def check_actor(ctx: Context, field: str, type: str | None, id: str | None) -> None:
    """BAD_REQUEST for an id that is no agent, or with the type `user` no member, of the workspace. Under any other type
    it is a mere text.
    """
    if not id or type not in (None, "", ActorType.user, ActorType.agent):
        return
    rows = (
        ctx.select(Membership, col(Membership.user_id) == id)
        if type == ActorType.user
        else ctx.select(Agent, col(Agent.id) == id)
    )
    if not await rows.exists():
        fault = f"there is no such {'member' if type == ActorType.user else 'agent'} in this workspace"
        raise invalid(field, fault)
