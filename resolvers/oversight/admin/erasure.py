"""Erases all data of a person in a workspace, as the columns declare (models/personal_data.py): the person's rows are
deleted, and remaining rows no longer name the person. The account is deleted too, unless the person belongs to another
workspace.
"""

import re
from functools import cache
from typing import Any, Final

from sqlalchemy import JSON, UniqueConstraint, and_, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text as SQLText
from sqlmodel import SQLModel, col

from models.base import Row, TenantRow, place_in, table_of
from models.kernel import AuditLog, IdempotencyKey, OutboxEvent
from models.people.auth import User
from models.people.gdpr import GdprAction, GdprActionType
from models.people.workspaces import Invitation, Membership, Role
from models.personal_data import author_of, held_in
from models.staff.chats import Chat, ChatAttachment, Message
from models.staff.run_spans import RunSpan
from models.staff.runs import Run, RunFrame, RunStep
from models.work.issues import IssueAttachment
from resolvers.kernel import Action, Code, Context, Holder, Output, Refusal, Topic, command, end_work, forbidden
from resolvers.kernel.writing.persons import belongs_elsewhere, erase_in_audit, forget_answers
from resolvers.oversight.admin.archive import end_archives, remove_archives
from resolvers.oversight.admin.gdpr import DeletePersonalData, receipt, remove_texts
from resolvers.people.account.avatars import forget_avatar
from resolvers.people.workspaces.files import CHAT_GONE, detach, detach_from_issues, speakers_in
from resolvers.people.workspaces.members import is_last_owner

ERASED: Final = "erased"  # no longer than what it stands for
SHORTEST_NAME: Final = len(ERASED)
A_NAME: Final = re.compile(r"[^\W\d_]+(?:[ .'\u2019-]+[^\W\d_]+)*\.?")
"""Words of letters, which no part of a configuration can be."""
LAST_OWNER = "The other members would be left without an owner"
ALONE = "This workspace has no other members: delete the account instead"


class PersonErased(Output):
    """The receipt of an erasure. `scope` counts rows by table; `account_deleted`: the account was deleted, because an
    invitation of this workspace created it and the person belonged to no other workspace.
    """

    action_id: str
    data_subject: str
    workspace_id: str
    rows_erased: int
    account_deleted: bool
    scope: dict[str, int]


def below(model: type[SQLModel]) -> list[type[SQLModel]]:
    return [kind for child in model.__subclasses__() for kind in (child, *below(child))]


def place_of(model: type[SQLModel]) -> str | None:
    """The column that says which workspace a row is of, or came from; None for rows of an account."""
    return place_in(table_of(model))


def kept_with_workspaces() -> list[type[SQLModel]]:
    """The models of rows that are a person's, and tell of one workspace."""
    return [model for model in of_accounts() if place_of(model) is not None]


def of_accounts() -> list[type[SQLModel]]:
    """The models of rows that are a person's in no workspace, or in all; answers that are kept for a day are none."""
    models = {model for model in below(Row) if hasattr(model, "__table__") and not issubclass(model, TenantRow)}
    kept = {model: held_in(table_of(model)) for model in models - {User, IdempotencyKey}}
    own = [model for model, columns in kept.items() if columns.whose or columns.by]
    return sorted(own, key=lambda model: f"{table_of(model).name}")


def written() -> list[type[SQLModel]]:
    """The models of rows with texts that may mention people, and whose author is known."""
    tables = {model: table_of(model) for model in tenants()}
    return [model for model, table in tables.items() if author_of(table) and held_in(table).mentions]


@cache
def tenants() -> tuple[type[TenantRow], ...]:
    """The models of a workspace's rows, by the names of their tables; receipts stay unchanged."""

    found = {
        table_of(model).name: model
        for model in below(Row)
        if issubclass(model, TenantRow) and hasattr(model, "__table__")
    }
    return tuple(model for name, model in sorted(found.items()) if model is not GdprAction)


@command("admin.gdpr_erase", Action.MANAGE, errors=(Code.NOT_FOUND, Code.CONFLICT), audit="user.erased", late=True)
async def erase_person(ctx: Context, data: DeletePersonalData) -> PersonErased:
    """Delete all data of a person.

    Deletes or anonymises a member's data: membership, sessions, messages, comments, runs, archives and files attached
    to chats and issues. Work made for the team is kept. The account itself is deleted only if an invitation of this
    workspace created it and the user belongs to no other workspace. Writes a receipt. Cannot be undone.

    Only an owner can erase an owner; the last owner of other members cannot be erased.
    """
    person = data.user_id
    await _judge(ctx, person)
    await remove_texts(ctx, person)
    await remove_archives(ctx, person)
    await ctx.begin()
    await ctx.lock(f"roles of {ctx.workspace_id}")  # no other owner goes at the same time
    await _judge(ctx, person)
    user = await ctx.get(User, person, missing="Member not found")
    whole = await _is_ours(ctx, user) and not await belongs_elsewhere(ctx, person)
    await end_work(ctx, Holder.person, person, forgotten=True)
    await end_archives(ctx, person)
    scope = await _erase(ctx, user)
    if whole:
        await forget_answers(ctx, person)
        for model in of_accounts():
            for columns, condition in _done_by(model, person):
                await _blank(ctx, model, condition, columns)
        await ctx.delete(User, person)
        forget_avatar(ctx, user)
        scope["users"] = 1
    made = receipt(ctx, GdprActionType.erase, person, reason=data.reason, scope=scope)
    made.completed_at = await ctx.now()
    if ctx.user_id == person and whole:
        made.actor_user_id = None
    ctx.audit("USER", person, account_deleted=whole)
    ctx.ring(Topic.access, person)
    await ctx.insert(made)
    return PersonErased(
        action_id=made.id,
        data_subject=person,
        workspace_id=ctx.workspace_id or "",
        rows_erased=sum(scope.values()),
        account_deleted=whole,
        scope=scope,
    )


async def _is_ours(ctx: Context, user: User) -> bool:
    """Returns true if this workspace created the account and its person has accepted the membership."""
    if user.founded_in is None or user.founded_in != ctx.workspace_id:
        return False
    own = (col(Membership.user_id) == user.id, col(Membership.accepted_at).is_not(None))
    return await ctx.select(Membership, *own).exists()


async def _judge(ctx: Context, person: str) -> None:
    """Checks that the caller may erase the person: before anything is deleted, and again in the transaction."""
    mine = ctx.select(Membership, col(Membership.user_id) == person)
    member = await (mine.locked() if ctx.in_transaction else mine).one("Member not found")
    if member.role == Role.OWNER and ctx.role != Role.OWNER:
        raise forbidden("Only an owner can erase an owner", role=Role.OWNER)
    if await is_last_owner(ctx, person):
        raise Refusal(Code.CONFLICT, LAST_OWNER)
    if not await ctx.select(Membership, col(Membership.user_id) != person).exists():
        raise Refusal(Code.CONFLICT, ALONE)


async def _erase(ctx: Context, user: User) -> dict[str, int]:
    """Erases written content first, because it is found by its author."""
    done = dict[str, int]()

    def count(model: type[SQLModel], rows: int) -> None:
        name = f"{table_of(model).name}"  # of its own kind in SQLAlchemy
        if rows:
            done[name] = done.get(name, 0) + rows

    spoken = speakers_in(ctx.workspace_id or "", _chats_of(ctx, user.id))
    for agent_id, chat_id in await ctx.report(spoken):
        ctx.enqueue(CHAT_GONE, agent_id=agent_id, chat_id=chat_id)
    count(ChatAttachment, await detach(ctx, user.id))
    count(IssueAttachment, await detach_from_issues(ctx, user.id))
    invited = await _invitations_of(ctx, user)
    personal = {"email": user.email} | ({"full_name": user.full_name} if user.full_name else {})
    count(AuditLog, len(await erase_in_audit(ctx, user.id, personal, [user.id, *invited])))
    for model in written():
        count(model, await _take_out(ctx, model, user))
    count(Invitation, len(await ctx.update_where(Invitation, col(Invitation.id).in_(invited), email=ERASED)))
    for model, condition in _conversations(ctx, user.id):
        if model is Message:
            count(model, len(await _blank(ctx, model, condition, {})))
        else:
            count(model, await ctx.delete_where(model, condition, including_hidden=True))
    for model in _of_persons():
        if model is AuditLog:
            continue  # its words are sealed: see above
        for columns, condition in _done_by(model, user.id):
            count(model, len(await _blank(ctx, model, and_(condition, _here(ctx, model)), columns)))
    for model in _of_persons():
        own = held_in(table_of(model)).whose
        if own:
            named = or_(*[table_of(model).c[name] == user.id for name in own])
            count(model, await ctx.delete_where(model, named, _here(ctx, model), including_hidden=True))
    count(OutboxEvent, await _forget_events(ctx, user.id))
    return done


def _of_persons() -> list[type[SQLModel]]:
    return [*tenants(), *kept_with_workspaces()]


def _here(ctx: Context, model: type[SQLModel]) -> Any:
    return table_of(model).c[place_of(model) or "workspace_id"] == ctx.workspace_id


def _chats_of(ctx: Context, person: str) -> Any:
    """The chats whose memories by agents contain words of the person."""
    chat, message = ctx.table(Chat).c, ctx.table(Message).c
    begun = select(chat.id).where(chat.created_by == person)
    return begun.union(select(message.chat_id).where(message.author_user_id == person))


def _conversations(ctx: Context, person: str) -> list[tuple[type[SQLModel], Any]]:
    """Conversations with the person alone, in chats without other writers, and the frames of their runs."""
    chat, message, other, run = (table_of(model) for model in (Chat, Message, Message, Run))
    here = chat.c.workspace_id == ctx.workspace_id
    spoken = message.alias("spoken")
    others = select(spoken.c.id).where(
        spoken.c.workspace_id == chat.c.workspace_id,
        spoken.c.chat_id == chat.c.id,
        spoken.c.author_user_id.is_not(None),
        spoken.c.author_user_id != person,
    )
    own = select(chat.c.id).where(here, chat.c.created_by == person, ~others.exists())
    of_workspace = run.c.workspace_id == ctx.workspace_id
    runs = select(run.c.id).where(of_workspace, run.c.triggered_by == person)
    in_own = select(run.c.id).where(of_workspace, run.c.chat_id.in_(own))
    return [
        (RunFrame, or_(col(RunFrame.run_id).in_(runs), col(RunFrame.chat_id).in_(own))),
        (RunStep, col(RunStep.run_id).in_(runs)),
        (RunSpan, or_(col(RunSpan.run_id).in_(runs), col(RunSpan.run_id).in_(in_own))),
        (Message, or_(other.c.author_user_id == person, other.c.chat_id.in_(own))),
    ]


def _done_by(model: type[SQLModel], person: str) -> list[tuple[dict[str, Any], Any]]:
    """The references to the person in a table, each with what is to be set in its rows."""
    table = table_of(model)
    kept = held_in(table)
    keyed = {
        column.name for column in table.columns if any(k.target_fullname == "users.id" for k in column.foreign_keys)
    }
    speakers = [name for name in kept.by if name not in keyed] or list(kept.by)
    made = []
    for name in kept.by:
        changes = {name: None if table.c[name].nullable else ""}
        if name in speakers:
            changes |= {word: blank(table.c[word]) for word in kept.words}
        made.append((changes, table.c[name] == person))
    return made


def blank(column: Any) -> Any:
    if column.nullable:
        return None
    return {} if isinstance(column.type, JSON) else ERASED


async def _blank(ctx: Context, model: type[SQLModel], condition: Any, changes: dict[str, Any]) -> list[Any]:
    table = table_of(model)
    values = changes or {word: blank(table.c[word]) for word in held_in(table).words}
    return await ctx.update_where(model, condition, including_deleted=True, including_hidden=True, **values)


def names_of(user: User) -> str:
    """A pattern of the address, and of the name if it hardly has another meaning."""
    found = [rf"(?<![[:alnum:]_.+-]){re.escape(user.email)}(?![[:alnum:]_-])"]
    name = (user.full_name or "").strip()
    if len(name) >= SHORTEST_NAME and " " in name and A_NAME.fullmatch(name):
        found.append(rf"(?<![[:alnum:]_]){re.escape(name)}(?![[:alnum:]_])")
    return "|".join(found)


async def _invitations_of(ctx: Context, user: User) -> list[str]:
    """Invitations to the person's address, if the person has proved the address or accepted the invitation."""
    same = [func.lower(col(Invitation.email)) == user.email.lower()]
    if user.email_verified is None:
        same.append(col(Invitation.accepted_at).is_not(None))
    return [each.id for each in await ctx.select(Invitation, *same, including_hidden=True).all()]


async def _take_out(ctx: Context, model: type[SQLModel], user: User) -> int:
    """In texts that the person wrote; in JSON, string by string."""
    table, pattern = table_of(model), names_of(user)
    named, changes = list[Any](), dict[str, Any]()
    for name in held_in(table).mentions:
        column, stand_in = table.c[name], _stand_in(table, name)
        if isinstance(column.type, JSON):
            changes[name] = func.without_words(column, pattern, stand_in, type_=JSONB())
        else:
            changes[name] = func.regexp_replace(column, pattern, stand_in, "gi", type_=SQLText())
        named.append(column.is_distinct_from(changes[name]))
    own = table.c[author_of(table) or ""] == user.id
    rows = await ctx.update_where(model, own, or_(*named), including_deleted=True, including_hidden=True, **changes)
    return len(rows)


def _stand_in(table: Any, name: str) -> Any:
    """A placeholder for a person in a column: unique if the column is, because two persons may be erased."""
    keys = [key for key in table.constraints if isinstance(key, UniqueConstraint)]
    keys += [index for index in table.indexes if index.unique]
    if not any(name in key.columns for key in keys):
        return ERASED
    return literal(f"{ERASED}-").concat(func.right(table.c.id, 8, type_=SQLText()))


async def _forget_events(ctx: Context, person: str) -> int:
    """Removes events that name the person, so that they are not sent again to reconnecting clients."""
    text = func.concat(cast(col(OutboxEvent.payload), SQLText), col(OutboxEvent.cause), type_=SQLText())
    named = text.contains(person, autoescape=True)
    return await ctx.delete_where(OutboxEvent, col(OutboxEvent.workspace_id) == ctx.workspace_id, named)
