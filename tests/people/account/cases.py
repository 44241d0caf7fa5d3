"""Cases of the own account, for the tests that are made for every operation."""

import base64
import struct
import zlib
from datetime import timedelta

from models.people.account import EmailChange
from resolvers.instance.crypto import digest
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import PASSWORD, Recipe
from tests.world import now


def png(width: int = 1, height: int = 1) -> bytes:
    """A PNG that says it has so many pixels, and has none of them."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


PNG = png()


def email_token_of(plot: Plot) -> str:
    return digest(f"email in {plot.workspace.id}")


@entity
def email_change(plot: Plot) -> EmailChange:
    return EmailChange(
        user_id=plot.second.user_id,
        email=f"new-{plot.workspace.id}@example.com",
        old_email="somebody@example.com",
        token_hash=digest(email_token_of(plot)),
        expires_at=now() + timedelta(minutes=30),
    )


RECIPES = {
    "auth.email_change": Recipe({"email": "new@example.com", "password": PASSWORD}, refused=Code.CONFLICT),  # no mail
    "auth.email_confirm": Recipe({"token": lambda world: email_token_of(world.home)}),
    "users.change_password": Recipe({"current_password": PASSWORD, "new_password": PASSWORD}),
    "users.update_me": Recipe({"full_name": "Grace Hopper"}),
    "users.avatar_upload": Recipe({"content": base64.b64encode(PNG).decode()}),
    "users.avatar": Recipe(refused=Code.NOT_FOUND),  # there is none
    "auth.account_delete": Recipe({"password": PASSWORD}, refused=Code.CONFLICT),  # the owner has other members
}
PROSE = ("users.change_password", "auth.account_delete")
"""Whoever knows the password, which the owner has alone."""
