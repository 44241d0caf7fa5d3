"""All data of a person in a workspace as a file: put together by a job, downloaded, and gone after a week."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from sqlmodel import col

from models.people.gdpr import GdprAction, GdprActionType, GdprStatus
from models.people.workspaces import Membership
from resolvers.instance.store import Opened
from resolvers.kernel import (
    NOW,
    REST_ONLY,
    Absent,
    Action,
    ById,
    Code,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    command,
    job,
    procedure,
)
from resolvers.oversight.admin.gdpr import OfPerson

KEPT: Final = timedelta(days=7)
FOLDER: Final = "gdpr"
GONE = "The archive has been removed"
FAILED: Final = "The archive could not be created; the server's log has the reason"
ERASED: Final = "The person was erased"


class OfAction(Input):
    action_id: Id


ARCHIVE = job("admin.archive", OfAction, unique="{action_id}", fair=True, attempts=5)


class GdprReceipt(Output):
    """The state of a request about a person's data: done, in progress, or failed with a reason. `archive_bytes` is the
    size of an archive that can be downloaded.
    """

    id: str
    action: GdprActionType
    status: GdprStatus
    subject_id: str
    created_at: datetime
    completed_at: Annotated[datetime | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None
    archive_bytes: Annotated[int | None, Absent()] = None
    expires_at: Annotated[datetime | None, Absent()] = None
    scope: dict[str, Any]


def shown(action: GdprAction) -> GdprReceipt:
    return GdprReceipt(**{name: getattr(action, name) for name in GdprReceipt.model_fields})


@command("admin.gdpr_archive", Action.MANAGE, errors=(Code.NOT_FOUND,), audit="user.archived")
async def archive_person(ctx: Context, data: OfPerson) -> GdprReceipt:
    """Start an archive of a person's data.

    A job collects all data of a member of the workspace in a ZIP file: NDJSON with one file per table, and the
    files that the member attached to chats and issues. The archive can be downloaded for a week after the receipt is
    completed.
    """
    member = ctx.select(Membership, col(Membership.user_id) == data.user_id)
    await member.one("Member not found")
    made = GdprAction(action=GdprActionType.archive, actor_user_id=ctx.user_id or None, subject_id=data.user_id)
    made.created_at = await ctx.now()
    await ctx.insert(made)
    ctx.enqueue(ARCHIVE, action_id=made.id)
    ctx.audit("USER", data.user_id)
    return shown(made)


@procedure("admin.gdpr_receipt", Action.MANAGE, errors=(Code.NOT_FOUND,))
async def get_receipt(ctx: Context, data: ById) -> GdprReceipt:
    """Get the receipt of a request about a person's data.

    Returns the progress of the request, and whether an archive can be downloaded.
    """
    return shown(await ctx.get(GdprAction, data.id, missing="Receipt not found"))


@procedure("admin.gdpr_download", Action.MANAGE, errors=(Code.NOT_FOUND, Code.GONE), surfaces=REST_ONLY, late=True)
async def download_archive(ctx: Context, data: ById) -> Opened:
    """Get an archive of a person's data.

    Returns a ZIP file. GONE after it has expired.
    """
    action = await ctx.get(GdprAction, data.id, missing="Receipt not found")
    if action.archive_bytes is None or action.expires_at is None or action.expires_at <= await ctx.now():
        raise Refusal(Code.GONE, GONE)
    opened: Opened = await ctx.outside.store.folder("workspaces", action.workspace_id, FOLDER).open(f"{action.id}.zip")
    return opened


def _of(person: str) -> tuple[Any, ...]:
    return (col(GdprAction.subject_id) == person, col(GdprAction.action) == GdprActionType.archive)


async def remove_archives(ctx: Context, person: str) -> None:
    """Files go before their receipts forget them: what is cut off is done again."""
    folder = ctx.outside.store.folder("workspaces", ctx.workspace_id or "", FOLDER)
    for action in await ctx.select(GdprAction, *_of(person), col(GdprAction.archive_bytes).is_not(None)).all():
        try:
            await folder.remove(f"{action.id}.zip")
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise


async def end_archives(ctx: Context, person: str) -> None:
    """No archive of the person can be downloaded or created any more; one that was completed meanwhile is removed by
    the next tick.
    """
    there = (*_of(person), col(GdprAction.archive_bytes).is_not(None))
    await ctx.update_where(GdprAction, *there, expires_at=NOW)
    begun = (*_of(person), col(GdprAction.status) == GdprStatus.in_progress)
    await ctx.update_where(GdprAction, *begun, status=GdprStatus.failed, completed_at=NOW, error=ERASED)
