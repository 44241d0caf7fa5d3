"""The password of the own account, and its end. Both ask for the password again."""

from sqlmodel import col

from models.people.auth import User, is_person
from models.people.workspaces import Membership, Workspace
from resolvers.instance.passwords import check_password
from resolvers.kernel import (
    NOW,
    Action,
    Code,
    Context,
    CredentialKind,
    Holder,
    Input,
    Output,
    Refusal,
    Success,
    Tenancy,
    Topic,
    command,
    end_work,
    people_only,
)
from resolvers.people.account.avatars import forget_avatar
from resolvers.people.auth.login import count_failure
from resolvers.people.recovery import Password, end_links, set_password
from resolvers.people.workspaces.files import WORKSPACE_GONE
from resolvers.people.workspaces.members import is_last_owner
from resolvers.people.workspaces.workspaces import workspaces_of

WRONG = "The password is wrong"
WITHOUT = "This account has no password; request a password-reset link to set one"
CHANGED = "The password was changed meanwhile; try again"
LOCKED = "The account is locked after too many wrong passwords; try again in five minutes"
REASON = "wrong_password"
"""The reason of a FORBIDDEN that is no missing right: one address answers it as unauthenticated."""
LAST_PERSON = "The last user of this server cannot be deleted: no user could sign in afterwards"
OWNS = "Remove the other members first; you are the last owner of"
MOST_NAMED = 10
FIELDS = ("current_password", "password")
"""The fields that hold the password of an account."""


class ChangePassword(Input):
    """A password has at least 8 characters and at most 72 bytes."""

    current_password: Password
    new_password: Password


class PasswordChanged(Output):
    """The password was changed. `sessions_revoked`: the number of other sessions that were ended."""

    success: bool = True
    sessions_revoked: int


class DeleteAccount(Input):
    """`password`: the password of the account."""

    password: Password


@command(
    "users.change_password",
    Action.SELF,
    audit="user.password_changed",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.LOCKED, Code.CONFLICT),
    allow=people_only,
    late=True,
    secret=True,
    writes_on_refusal=True,
)
async def change_password(ctx: Context, data: ChangePassword) -> PasswordChanged:
    """Update the password.

    Ends all other sessions of the caller, with their WebSockets, pairing codes, and links to reset the password. CLI
    tokens stay valid. A wrong current password counts as it does at sign-in; LOCKED while the account is locked.
    """
    check_password(data.new_password)
    password_hash = await ctx.outside.passwords.hash(data.new_password, ctx.caller.client)
    await confirm(ctx, data.current_password)
    current = ctx.credential_id if ctx.caller.kind is CredentialKind.SESSION else ""
    ended = await set_password(ctx, ctx.user_id, password_hash, but=current)
    await end_links(ctx, ctx.user_id)
    return PasswordChanged(sessions_revoked=ended)


@command(
    "auth.account_delete",
    Action.SELF,
    audit="user.deleted",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.LOCKED, Code.CONFLICT),
    allow=people_only,
    late=True,
    secret=True,
    writes_on_refusal=True,
)
async def delete_account(ctx: Context, data: DeleteAccount) -> Success:
    """Delete the account.

    Ends the caller's sessions, WebSockets and tokens, and all memberships. Workspaces without other members are deleted
    as well. The last owner of a workspace with other members has to remove them first. Texts that the caller wrote for
    others are kept without a name.
    """
    await confirm(ctx, data.password)
    await ctx.lock("people of the instance")  # two callers must not both be the last but one
    if not await ctx.select(User, is_person(col(User.id)), col(User.id) != ctx.user_id).exists():
        raise Refusal(Code.CONFLICT, LAST_PERSON)
    await _leave_workspaces(ctx)
    ctx.workspace_id, ctx.role = None, None
    forget_avatar(ctx, await ctx.delete(User, ctx.user_id))
    ctx.nobody = True
    ctx.ring(Topic.access, ctx.user_id)
    ctx.session = "ended"
    return Success()


async def confirm(ctx: Context, password: str) -> User:
    """Confirms by password that the caller is the account's holder, not a stranger at an unlocked screen. Begins the
    transaction and locks the user.
    """
    seen = await ctx.get(User, ctx.user_id)
    if seen.password_hash is None:
        raise Refusal(Code.BAD_REQUEST, WITHOUT, about=FIELDS)
    checked = await ctx.outside.passwords.verify(password, seen.password_hash, ctx.caller.client)
    await ctx.begin()
    user = await ctx.get(User, ctx.user_id, lock=True)
    if user.password_hash != seen.password_hash:
        raise Refusal(Code.CONFLICT, CHANGED)
    now = await ctx.now()
    if user.locked_until is not None and user.locked_until > now:
        raise Refusal(Code.LOCKED, LOCKED, about=FIELDS)
    if not checked.ok:
        await count_failure(ctx, user, user, now)
        raise Refusal(Code.FORBIDDEN, WRONG, reason=REASON, about=FIELDS, commit=True)
    return user


async def _leave_workspaces(ctx: Context) -> None:
    """Ends the workspaces that have no other member. CONFLICT if other members would be left without an owner."""
    own = workspaces_of(ctx.user_id)
    kept = list[str]()
    for workspace in await ctx.select(Workspace, col(Workspace.id).in_(own)).order_by(col(Workspace.name)).all():
        await ctx.enter(workspace.id)
        await ctx.lock(f"roles of {workspace.id}")  # nor may another owner go at the same time
        await ctx.audit_here("USER", ctx.user_id, action=ctx.operation.audit)
        others = ctx.select(Membership, col(Membership.user_id) != ctx.user_id)
        if not await others.exists():
            await ctx.update(Workspace, workspace.id, deleted_at=NOW)
            await end_work(ctx, Holder.workspace, workspace.id)
            ctx.enqueue(WORKSPACE_GONE, workspace_id=workspace.id)
            continue
        if await is_last_owner(ctx, ctx.user_id):
            kept.append(workspace.name)
            continue
        await ctx.delete_where(Membership, col(Membership.user_id) == ctx.user_id, including_hidden=True)
        await end_work(ctx, Holder.person, ctx.user_id)
    if kept:
        more = f" and {len(kept) - MOST_NAMED} more" if len(kept) > MOST_NAMED else ""
        raise Refusal(Code.CONFLICT, f"{OWNS} {', '.join(kept[:MOST_NAMED])}{more}")
