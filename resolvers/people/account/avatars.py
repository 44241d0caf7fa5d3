"""The picture of an account, a file of the instance: its owner replaces it, and every signed-in user may read it."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.people.auth import User
from resolvers.instance.forms import file_in
from resolvers.instance.store import Arriving, Folder, Opened
from resolvers.kernel import (
    REST_ONLY,
    Action,
    Code,
    Context,
    Id,
    Input,
    NoInput,
    Refusal,
    Tenancy,
    command,
    invalid,
    job,
    people_only,
    procedure,
)
from resolvers.kernel.ground.scopes import OPEN
from resolvers.people.account.profile import Profile

FIELD: Final = "file"
NAME: Final = "avatar"
MOST: Final = 2 << 20
"""Bytes of a form. More is BAD_REQUEST (contract: users.avatar_upload)."""
MOST_SENT: Final = 4 << 20
"""Bytes of a body that are looked at; more of them are TOO_LARGE before the caller is known."""
MOST_IN_TEXT: Final = (MOST + 2) // 3 * 4
LARGEST_SIDE: Final = 4096  # pixels
LASTS: Final = 300  # seconds for which a browser may show it without a question
NONE: Final = "Avatar not found"
UNKNOWN: Final = "The picture must be a PNG, JPEG or WebP file"
SIZE: Final = f"Each side of the picture must have 1 to {LARGEST_SIDE} pixels"
HEAD: Final = 12  # bytes that say the kind of a picture
ID_IN_PATH: Final = r"^[A-Za-z0-9_-]+$"


class UploadAvatar(Input):
    """`content` is the file in base64, at most 2 MiB of it; a request to GraphQL has at most 1 MB."""

    content: Annotated[str, Field(strict=True, max_length=MOST_IN_TEXT, repr=False)] = ""


class OfAvatar(Input):
    """A user of the instance."""

    user_id: Annotated[str, Field(strict=True, pattern=ID_IN_PATH, max_length=bounds.ID)]


class OfGoneUser(Input):
    user_id: Id


AVATAR_GONE: Final = job("account.avatar_of_user", OfGoneUser, of_instance=True)
"""Removes the file of a deleted account."""


def folder_of(ctx: Context, user_id: str) -> Folder:
    folder: Folder = ctx.outside.store.folder(*place_of(user_id))
    return folder


def place_of(user_id: str) -> tuple[str, ...]:
    return ("users", user_id)


def address_of(user_id: str) -> str:
    return f"/api/v1/users/{user_id}/avatar"


def is_stored(user: User) -> bool:
    """Returns false for a picture that a sign-in provider keeps."""
    return (user.avatar_url or "").startswith(address_of(user.id))


def forget_avatar(ctx: Context, user: User) -> None:
    """Removes the file of an account that is being deleted, behind the commit."""
    if is_stored(user):
        ctx.enqueue(AVATAR_GONE, user_id=user.id)


@command(
    "users.avatar_upload",
    Action.SELF,
    audit="user.avatar_changed",
    tenancy=Tenancy.NONE,
    errors=(Code.TOO_LARGE,),
    allow=people_only,
    late=True,
)
async def upload_avatar(ctx: Context, data: UploadAvatar) -> Profile:
    """Set the caller's avatar.

    A PNG, JPEG or WebP file by its content, regardless of its name, with at most 4096 pixels a side. In REST, a form
    with the part `file`, of at most 2 MiB. Every signed-in user of the server can see it. Its address changes.
    """
    folder, content = folder_of(ctx, ctx.user_id), await _received(ctx, data)
    await asyncio.to_thread(check_picture, content)
    async with ctx.outside.store.receive(Arriving(_at_once(content), MOST)) as received:
        await ctx.begin()
        user = await ctx.get(User, ctx.user_id, lock=True)  # of two uploads, the later one has file and address
        url = f"{address_of(user.id)}?v={version_of(content)}"
        await folder.keep(received, NAME)
        return Profile.of(await ctx.update(User, user.id, avatar_url=url))


@command(
    "users.avatar_delete", Action.SELF, audit="user.avatar_removed", tenancy=Tenancy.NONE, allow=people_only, late=True
)
async def delete_avatar(ctx: Context, data: NoInput) -> Profile:
    """Delete the caller's avatar.

    Succeeds also if there is none. A picture of a sign-in provider is no longer shown, too.
    """
    folder = folder_of(ctx, ctx.user_id)
    await ctx.begin()
    user = await ctx.get(User, ctx.user_id, lock=True)
    changed = await ctx.update(User, user.id, avatar_url=None)
    if is_stored(user):
        try:
            await folder.remove(NAME)
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise
    return Profile.of(changed)


@procedure(
    "users.avatar",
    Action.NONE,
    tenancy=Tenancy.NONE,
    errors=(Code.NOT_FOUND,),
    surfaces=REST_ONLY,
    late=True,
    scopes=OPEN,
)
async def get_avatar(ctx: Context, data: OfAvatar) -> Opened:
    """Get the avatar of a user.

    Every signed-in user may read the avatar of every other one, also without a common workspace.
    """
    user = await ctx.select(User, col(User.id) == data.user_id).first()
    if user is None or not is_stored(user):
        raise Refusal(Code.NOT_FOUND, NONE)
    try:
        opened = await folder_of(ctx, user.id).open(NAME)
    except Refusal as refusal:
        if refusal.code is not Code.NOT_FOUND:
            raise
        raise Refusal(Code.NOT_FOUND, NONE) from None
    return opened.shown_as(media_type_of(await opened.read(0, HEAD)) or "application/octet-stream", LASTS)


def media_type_of(head: bytes) -> str | None:
    """The kind of a picture by its first bytes; None for a kind that is not taken."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def version_of(content: bytes) -> int:
    """A number that another picture does not have: caches keep pictures by their addresses."""
    return int.from_bytes(hashlib.sha256(content).digest()[:6])


def check_picture(content: bytes) -> None:
    """Refuses a file that is not a PNG, JPEG or WebP picture, or is too large. Only headers are read, and nothing is
    decoded, so a small file of many pixels costs nothing.
    """
    import imagesize

    if media_type_of(content[:HEAD]) is None:
        raise invalid(FIELD, UNKNOWN)
    try:
        width, height = imagesize.get(BytesIO(content))
    except Exception:  # a damaged file; the library raises errors of many kinds
        raise invalid(FIELD, UNKNOWN) from None
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise invalid(FIELD, UNKNOWN if width < 0 else SIZE)


async def _received(ctx: Context, data: UploadAvatar) -> bytes:
    if ctx.request.upload is None:
        try:
            content = base64.b64decode(data.content, validate=True)
        except binascii.Error:
            raise invalid("content", "must be base64") from None
    else:
        _, file = await file_in(ctx.request.upload, FIELD, MOST)
        content = b"".join([piece async for piece in file.content])
    if not content:
        raise invalid(FIELD, "is empty")
    return content


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    yield content
