"""Service accounts themselves: users of the workspace that are no people, with a membership while they are active."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.people.auth import CliToken, User
from models.people.service_accounts import ServiceAccount, service_account_id
from models.people.workspaces import Membership, Role
from resolvers.kernel import (
    EVERYONE,
    NOW,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Description,
    Emptied,
    Holder,
    Input,
    Page,
    Paging,
    Patch,
    QueryScope,
    Row,
    Subject,
    Topic,
    command,
    derived,
    end_work,
    graph,
    one,
    query,
)
from resolvers.people.workspaces import AssignableRole, assigned

ACCOUNT = Subject(ServiceAccount, called="Service account")
TAKEN = "A service account with this name already exists"
ENTITY = "SERVICE_ACCOUNT"
AccountName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]

graph(
    ServiceAccount,
    gate=Action.MANAGE,
    scope=None,
    visible=EVERYONE,
    creator=one(User, "created_by"),
    active=derived(bool, lambda account, _: account.deactivated_at.is_(None)),
)


class ListServiceAccounts(Paging):
    """Pagination of the list."""


class CreateServiceAccount(Input):
    """An account for programs, and its role in the workspace."""

    name: AccountName
    description: Description | None = None
    role: AssignableRole = AssignableRole.MEMBER


class UpdateServiceAccount(Patch, ById):
    """Omitted fields stay unchanged; null or an empty text clears the description."""

    name: AccountName
    description: Emptied[Description]
    role: AssignableRole


@query("service_accounts.list", Action.MANAGE, tickets=False)
def list_service_accounts(scope: QueryScope, data: ListServiceAccounts) -> Page[ServiceAccount]:
    """List service accounts.

    Newest first; ties by id, descending. Deactivated ones are included.
    """
    newest_first = col(ServiceAccount.created_at).desc(), col(ServiceAccount.id).desc()
    return scope.select(ServiceAccount).order_by(*newest_first).page(data)


@query("service_accounts.get", Action.MANAGE, errors=(Code.NOT_FOUND,), tickets=False)
def get_service_account(scope: QueryScope, data: ById) -> Row[ServiceAccount]:
    """Get a service account."""
    return scope.select(ServiceAccount).where(col(ServiceAccount.id) == data.id).one(ACCOUNT.missing)


def judge_role(ctx: Context, account: ServiceAccount) -> None:
    """A caller who gives an account more rights must be allowed to give a member its role."""
    assigned(ctx, AssignableRole(account.role))


@command(
    "service_accounts.create",
    Action.MANAGE,
    audit="service_account.created",
    errors=(Code.FORBIDDEN, Code.CONFLICT),
)
async def create_service_account(ctx: Context, data: CreateServiceAccount) -> ServiceAccount:
    """Create a service account.

    Only an owner can assign the role ADMIN. The name is unique in the workspace, case-sensitive.

    A service account acts in this workspace only, with its tokens. It has no password, no sessions and no seat.
    """
    role, id = assigned(ctx, data.role), service_account_id()
    await ctx.insert(User(id=id, email=f"{id}@service-accounts.invalid", full_name=data.name))
    await ctx.insert(Membership(user_id=id, role=role, accepted_at=NOW))
    ctx.audit(ENTITY, id, name=data.name, role=role)
    account = ServiceAccount(
        id=id, name=data.name, description=data.description or None, role=role, created_by=ctx.user_id or None
    )
    return await ctx.insert(account, conflict=TAKEN)


@command(
    "service_accounts.update",
    Action.MANAGE,
    subject=ACCOUNT,
    locked=True,
    audit="service_account.updated",
    errors=(Code.FORBIDDEN, Code.CONFLICT),
    versioned=ServiceAccount,
)
async def update_service_account(ctx: Context, account: ServiceAccount, data: UpdateServiceAccount) -> ServiceAccount:
    """Update a service account.

    Only an owner can assign the role ADMIN. A new role applies from the next request, and at once to
    subscriptions.
    """
    sent = data.something()
    role: Role | None = None
    if "role" in sent:
        role = sent["role"] = assigned(ctx, data.role)
    account = await ctx.update(ServiceAccount, account.id, conflict=TAKEN, **sent)
    if "name" in sent:
        await ctx.update(User, account.id, full_name=account.name)
    if role is not None:
        own = col(Membership.user_id) == account.id
        await ctx.update_where(Membership, own, including_hidden=True, role=role)
        ctx.ring(Topic.access, account.id)
    ctx.audit(ENTITY, account.id, **{key: value for key, value in sent.items() if key != "description"})
    return account


async def _leave(ctx: Context, account: ServiceAccount) -> None:
    await ctx.delete_where(Membership, col(Membership.user_id) == account.id, including_hidden=True)
    await end_work(ctx, Holder.person, account.id)
    ctx.ring(Topic.access, account.id)


@command(
    "service_accounts.deactivate", Action.MANAGE, subject=ACCOUNT, locked=True, audit="service_account.deactivated"
)
async def deactivate_service_account(ctx: Context, account: ServiceAccount, data: ById) -> ServiceAccount:
    """Deactivate a service account.

    Its access ends with the next request, and subscriptions end immediately. Its tokens are kept. Idempotent.
    """
    ctx.audit(ENTITY, account.id, name=account.name)
    if account.deactivated_at is not None:
        return account
    await _leave(ctx, account)
    return await ctx.update(ServiceAccount, account.id, deactivated_at=NOW)


@command(
    "service_accounts.activate",
    Action.MANAGE,
    subject=ACCOUNT,
    locked=True,
    audit="service_account.activated",
    errors=(Code.FORBIDDEN,),
)
async def activate_service_account(ctx: Context, account: ServiceAccount, data: ById) -> ServiceAccount:
    """Activate a service account.

    Only an owner can activate an account with the role ADMIN. Idempotent.
    """
    judge_role(ctx, account)
    ctx.audit(ENTITY, account.id, name=account.name)
    if account.deactivated_at is None:
        return account
    await ctx.insert(Membership(user_id=account.id, role=account.role, accepted_at=NOW))
    return await ctx.update(ServiceAccount, account.id, deactivated_at=None)


@command(
    "service_accounts.delete",
    Action.DELETE,
    subject=ACCOUNT,
    locked=True,
    audit="service_account.deleted",
    versioned=ServiceAccount,
)
async def delete_service_account(ctx: Context, account: ServiceAccount, data: ById) -> Deleted:
    """Delete a service account.

    Revokes its tokens. Its name stays on its actions.
    """
    await ctx.delete(ServiceAccount, account.id, missing=ACCOUNT.missing)
    live = col(CliToken.user_id) == account.id, col(CliToken.revoked_at).is_(None)
    await ctx.update_where(CliToken, *live, including_hidden=True, revoked_at=NOW)
    await _leave(ctx, account)
    ctx.audit(ENTITY, account.id, name=account.name)
    return Deleted(id=account.id)
