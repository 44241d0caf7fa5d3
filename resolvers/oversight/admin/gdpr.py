"""The data that agents hold on a person in a workspace: exported and deleted on request, each with a receipt."""

from datetime import UTC, datetime
from typing import Annotated, Final

import orjson
from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxItem
from models.people.gdpr import GdprAction, GdprActionType, GdprStatus, new_action_id
from models.people.privacy import PeerCard, UserModel
from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.kernel import TRIMMED, Absent, Action, Code, Context, Id, Input, Output, Refusal, command
from resolvers.people.privacy import forget_model, purge
from resolvers.rules.memory_versions import STORED, folder_of

MOST_ROWS: Final = 1_000  # of each kind, the newest; an archive has all
Reason = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.DESCRIPTION), TRIMMED]


class ExportedPeerCard(Output):
    """A peer card about the person."""

    id: str
    agent_id: str
    user_slug: str
    path: str
    bytes: int
    created_at: datetime
    updated_at: datetime


class ExportedUserModel(Output):
    """The facts that agents know of the person."""

    id: str
    user_slug: str
    bytes: int
    created_at: datetime
    updated_at: datetime


class ExportedMemoryVersion(Output):
    """A version of a memory that the person wrote."""

    id: str
    path: str
    tier: MemoryTier
    sha256: str
    bytes: int
    written_at: datetime
    written_by: Annotated[str | None, Absent()] = None
    payload_ref: str


class ExportedInboxItem(Output):
    """An inbox item for the person. `payload_json` is JSON text."""

    id: str
    kind: str
    source_id: str
    title: str
    body_md: Annotated[str | None, Absent()] = None
    state: str
    payload_json: Annotated[str | None, Absent()] = None
    created_at: datetime


class PersonalDataExport(Output):
    """Agents' data about a person in the workspace, newest first; at most the newest thousand of each kind, without
    stored texts.
    """

    data_subject_id: str
    workspace_id: str
    exported_at: str
    action_id: str
    peer_cards: list[ExportedPeerCard]
    user_models: list[ExportedUserModel]
    memory_versions: list[ExportedMemoryVersion]
    inbox_items: list[ExportedInboxItem]


class DeletedRows(Output):
    """Rows that were deleted, by kind."""

    peer_cards: int
    user_models: int
    memory_versions: int
    inbox_items: int


class PersonalDataDeleted(Output):
    """The receipt of a deletion. `rows_deleted` is the sum of the rows in `scope`."""

    action_id: str
    data_subject: str
    workspace_id: str
    rows_deleted: int
    scope: DeletedRows


class OfPerson(Input):
    """A current or former member of the workspace."""

    user_id: Id


class DeletePersonalData(OfPerson):
    """`reason` is stored with the receipt. Do not name the person in it."""

    reason: Reason


def receipt(
    ctx: Context, action: GdprActionType, subject_id: str, *, reason: str | None = None, scope: dict[str, int]
) -> GdprAction:
    """The receipt of an action, valid once the transaction commits."""
    return GdprAction(
        id=new_action_id(),
        action=action,
        status=GdprStatus.completed,
        actor_user_id=ctx.user_id or None,
        subject_id=subject_id,
        reason=reason,
        scope=scope,
    )


@command("admin.gdpr_export", Action.MANAGE, audit="user.data_exported")
async def export_personal_data(ctx: Context, data: OfPerson) -> PersonalDataExport:
    """Export agents' data about a person.

    Returns peer cards, facts, versions of memories that the person wrote, and inbox items of the workspace; empty for
    an unknown id. Writes a receipt.
    """
    person = data.user_id
    cards = ctx.select(PeerCard, col(PeerCard.user_id) == person, including_hidden=True)
    versions = ctx.select(MemoryVersion, col(MemoryVersion.written_by) == person, including_hidden=True)
    items = ctx.select(InboxItem, col(InboxItem.target_user_id) == person, including_hidden=True)
    models = await ctx.select(UserModel, col(UserModel.user_id) == person, including_hidden=True).all()
    found = (
        await cards.order_by(col(PeerCard.updated_at).desc()).limit(MOST_ROWS).all(),
        await versions.order_by(col(MemoryVersion.written_at).desc()).limit(MOST_ROWS).all(),
        await items.order_by(col(InboxItem.created_at).desc()).limit(MOST_ROWS).all(),
    )
    scope = DeletedRows(
        peer_cards=len(found[0]), user_models=len(models), memory_versions=len(found[1]), inbox_items=len(found[2])
    )
    made = receipt(ctx, GdprActionType.export, person, scope=scope.plain())
    made.completed_at = now = await ctx.now()
    ctx.audit("USER", person, receipt=made.id, **scope.plain())
    await ctx.insert(made)
    return PersonalDataExport(
        data_subject_id=person,
        workspace_id=ctx.workspace_id or "",
        exported_at=now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        action_id=made.id,
        peer_cards=[ExportedPeerCard(**_of(ExportedPeerCard, card)) for card in found[0]],
        user_models=[ExportedUserModel(**_of(ExportedUserModel, model)) for model in models],
        memory_versions=[
            ExportedMemoryVersion(**_of(ExportedMemoryVersion, v) | {"written_by": v.written_by or None})
            for v in found[1]
        ],
        inbox_items=[_item(item) for item in found[2]],
    )


def _of(kind: type[Output], row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in kind.model_fields if hasattr(row, name)}


def _item(item: InboxItem) -> ExportedInboxItem:
    payload = None if item.payload is None else orjson.dumps(item.payload).decode()
    return ExportedInboxItem(
        **_of(ExportedInboxItem, item) | {"body_md": item.body_md or None, "payload_json": payload}
    )


@command("admin.gdpr_delete", Action.MANAGE, audit="user.data_deleted", late=True)
async def delete_personal_data(ctx: Context, data: DeletePersonalData) -> PersonalDataDeleted:
    """Delete agents' data about a person.

    Deletes peer cards, facts, versions of memories that the person wrote, and inbox items of the workspace. Account,
    membership, messages and audit log are kept. Idempotent; each call writes a receipt.
    """
    person = data.user_id
    await remove_texts(ctx, person)
    await ctx.begin()
    cards, models = await purge(ctx, person), await forget_model(ctx, person)
    versions = await ctx.delete_where(MemoryVersion, col(MemoryVersion.written_by) == person, including_hidden=True)
    items = await ctx.delete_where(InboxItem, col(InboxItem.target_user_id) == person, including_hidden=True)
    scope = DeletedRows(peer_cards=cards, user_models=models, memory_versions=versions, inbox_items=items)
    made = receipt(ctx, GdprActionType.delete, person, reason=data.reason, scope=scope.plain())
    made.completed_at = await ctx.now()
    ctx.audit("USER", person, receipt=made.id, **scope.plain())
    await ctx.insert(made)
    return PersonalDataDeleted(
        action_id=made.id,
        data_subject=person,
        workspace_id=ctx.workspace_id or "",
        rows_deleted=cards + models + versions + items,
        scope=scope,
    )


async def remove_texts(ctx: Context, person: str) -> None:
    """Removes files of versions that the person alone wrote, before their rows: an interrupted removal is repeated."""
    versions = ctx.table(MemoryVersion).c
    others = ctx.table(MemoryVersion).c
    shared = select(others.id).where(others.sha256 == versions.sha256, others.written_by != person).exists()
    mine = (
        select(versions.sha256)
        .distinct()
        .where(versions.written_by == person, versions.payload_ref.startswith(STORED), ~shared)
    )
    folder = folder_of(ctx, ctx.workspace_id)
    for (digest,) in await ctx.report(mine):
        try:
            await folder.remove(digest)
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise
