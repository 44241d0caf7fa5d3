"""Browsers that signed in to an account before, known by a cookie: strangers' wrong passwords do not lock them out.

A device is bound to one account and one password, and its cookie changes with each sign-in (OWASP: device cookies).
"""

from typing import Any

from sqlalchemy import func
from sqlmodel import col

from models.people.auth import DEVICE_LIFETIME, SignInDevice, User
from resolvers.instance.crypto import digest, new_device_token
from resolvers.kernel import NOW, Context


async def find_device(ctx: Context, cookie: str | None, user: User | None) -> SignInDevice | None:
    """The device of a cookie, if it is one of this account, with the password it has now."""
    if cookie is None:
        return None
    own = (col(SignInDevice.cookie_hash) == digest(cookie), col(SignInDevice.user_id) == (user.id if user else ""))
    found = await ctx.select(SignInDevice, *own, col(SignInDevice.used_at) > func.now() - DEVICE_LIFETIME).first()
    return found if found is not None and user is not None and found.password_mark == _mark(user) else None


async def remember_device(ctx: Context, user: User, device: SignInDevice | None) -> str:
    """The cookie's next value: of the device that is signing in, or of a new one."""
    cookie = new_device_token()
    if device is None:
        await ctx.insert(SignInDevice(user_id=user.id, cookie_hash=digest(cookie), password_mark=_mark(user)))
    else:
        changes: dict[str, Any] = {"failed_login_count": 0, "locked_until": None, "used_at": NOW}
        await ctx.update(SignInDevice, device.id, cookie_hash=digest(cookie), password_mark=_mark(user), **changes)
    return cookie


def _mark(user: User) -> str:
    """Says whether a password is still the same one, and nothing else of it."""
    return digest(user.password_hash or "")
