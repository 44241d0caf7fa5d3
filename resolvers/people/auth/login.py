"""Signing in with email and password, and the small routes that browsers' login pages use beside it."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.people.auth import SignInDevice, User
from resolvers.identity import cookies
from resolvers.identity.caller import IssuedCsrfToken
from resolvers.instance.crypto import new_csrf_token, secret_equals
from resolvers.instance.passwords import Verification
from resolvers.instance.running import instance
from resolvers.kernel import (
    REST_ONLY,
    Absent,
    Action,
    Auth,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    Url,
    command,
    forbidden,
    procedure,
)
from resolvers.people.auth.devices import find_device
from resolvers.people.auth.second_factor import remember_password
from resolvers.people.auth.sessions import open_session

ATTEMPTS = 3  # at a password hash that is replaced meanwhile
CALLBACK = "/api/auth/callback/credentials"
FAILURE = "CredentialsSignin"
REFUSED = "user.sign_in_refused"

# One slash and no second one in any spelling. Browsers read a backslash as a slash, and skip tabs and line ends.
_LOCAL_PATH = re.compile(r"/(?!/)[^\\\x00-\x1f\x7f]*")


class CsrfToken(Output):
    """The token that a sign-in repeats; its cookie lasts until the browser is closed."""

    csrf_token: str = Field(alias="csrfToken")


class Provider(Output):
    id: str = "credentials"
    name: str = "Credentials"
    type: str = "credentials"
    signin_url: str = Field(default=CALLBACK, alias="signinUrl")
    callback_url: str = Field(default=CALLBACK, alias="callbackUrl")


class Providers(Output):
    credentials: Provider = Provider()


Credential = Annotated[str, Field(strict=True, max_length=bounds.URL)]


class LogIn(Input):
    """`csrfToken` repeats the CSRF cookie. `callbackUrl` is the path to return to after login, on this origin.

    `callbackUrl` is read from the form or from the query.
    """

    email: Credential = ""
    password: Credential = ""
    csrfToken: Credential = ""
    callbackUrl: Url = "/"


class LoginResult(Output):
    """`url` is the address to continue at. `status` is present after a successful login, `error` after a failed one.

    `passkey_required`: the password was right, and the user has to sign in with a passkey in this browser as well.
    """

    ok: bool
    url: str
    status: Annotated[int | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None
    passkey_required: Annotated[bool | None, Absent()] = None


class SigninPage(Input):
    callbackUrl: Url = "/"


class ErrorPage(Input):
    error: Url = ""


class Redirect(Output):
    location: str


class LoginError(Output):
    error: str
    message: str


FAILED = LoginResult(ok=False, url=f"/api/auth/error?error={FAILURE}", error=FAILURE)
UNFINISHED = LoginResult(ok=False, url=FAILED.url, error=FAILURE, passkey_required=True)
PASSKEY_REQUIRED = "PasskeyRequired"  # of the login page that a form is sent back to


def local_path(value: str) -> str:
    """Returns a path of this origin; `/` for any value that a browser could take for another origin (contract:
    auth.login, callbackUrl).
    """
    return value if _LOCAL_PATH.fullmatch(value) else "/"


@procedure("auth.csrf", Action.NONE, auth=Auth.NONE, cookies=True)
async def create_csrf_token(ctx: Context, data: NoInput) -> CsrfToken:
    """Create a CSRF token.

    For the login form; the token is also set as a cookie.
    """
    token = new_csrf_token()
    ctx.session = IssuedCsrfToken(token)
    return CsrfToken(csrfToken=token)


@procedure("auth.providers", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def list_providers(ctx: Context, data: NoInput) -> Providers:
    """List sign-in methods.

    The methods that a login form can offer: email and password.
    """
    return Providers()


@command(
    "auth.login",
    Action.NONE,
    audit="session.opened",
    auth=Auth.NONE,
    errors=(Code.FORBIDDEN,),
    late=True,
    cookies=True,
)
async def log_in(ctx: Context, data: LogIn) -> LoginResult:
    """Sign in with email and password.

    A wrong password, an unknown email and a locked account get the same answer, at the same cost. For a user who
    requires a passkey, the correct password alone is not enough: the answer is a failure with `passkey_required`.
    """
    caller = ctx.caller
    expected = cookies.csrf_token(caller.cookies)
    if not expected or not secret_equals(expected, data.csrfToken):
        raise forbidden("The csrf token is missing, or differs from the cookie")
    for _ in range(ATTEMPTS):
        seen = await ctx.select(User, col(User.email) == data.email).first()
        checked = await ctx.outside.passwords.verify(data.password, seen.password_hash if seen else None, caller.client)
        await ctx.begin()
        user = await ctx.select(User, col(User.id) == (seen.id if seen else "")).locked().first()
        device = await find_device(ctx, cookies.device_token(caller.cookies, https=caller.https), user)
        now = await ctx.now()
        if seen is None:
            return await _uncounted(ctx)
        if user is not None and user.password_hash == seen.password_hash:
            return await _decide(ctx, user, device, checked, now, data.callbackUrl)
        await ctx.abandon()  # the hash was replaced while the old one was computed: what was checked says nothing
    return FAILED


async def _decide(
    ctx: Context, user: User, device: SignInDevice | None, checked: Verification, now: datetime, callback: str
) -> LoginResult:
    """Counts, locks or admits; the user's row is locked, so that every wrong password counts.

    A browser that has signed in before has its own count and lock: strangers who lock the account do not lock it out.
    """
    counter = device or user
    if counter.locked_until is not None and counter.locked_until > now:
        return await _uncounted(ctx)
    if not checked.ok:
        await count_failure(ctx, user, counter, now)
        return FAILED
    changes: dict[str, Any] = {} if checked.upgraded_hash is None else {"password_hash": checked.upgraded_hash}
    if device is None and user.failed_login_count:
        changes |= {"failed_login_count": 0, "locked_until": None}
    if changes:
        user = await ctx.update(User, user.id, **changes)
    if user.passkey_required:
        await remember_password(ctx, user)
        ctx.account = user.id
        ctx.audit("USER", user.id, action="user.password_accepted", personal=True)
        return UNFINISHED
    await open_session(ctx, user, device)
    return LoginResult(ok=True, url=local_path(callback), status=200)


async def count_failure(ctx: Context, user: User, counter: User | SignInDevice, now: datetime) -> None:
    """A wrong password, while the row is locked in the database; `lockout_failures` of them lock the account, or the
    browser.
    """
    failures = counter.failed_login_count if counter.locked_until is None else 0
    lock, most = timedelta(seconds=instance.settings.lockout_seconds), instance.settings.lockout_failures
    locked_until = now + lock if failures + 1 >= most else None
    await ctx.edit(counter, failed_login_count=failures + 1, locked_until=locked_until)
    ctx.account = user.id
    ctx.audit("USER", user.id, action=REFUSED, personal=True, locked=locked_until is not None)


async def _uncounted(ctx: Context) -> LoginResult:
    """A failure that counts for no account. It is written down too, otherwise response times would reveal which
    accounts exist.
    """
    ctx.nobody = True
    ctx.audit("USER", None, action=REFUSED, personal=True, locked=False)
    return FAILED


@procedure("auth.signin_page", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def find_signin_page(ctx: Context, data: SigninPage) -> Redirect:
    """Redirect to the login page."""
    return Redirect(location=f"/login?callbackUrl={quote(local_path(data.callbackUrl), safe='')}")


@procedure("auth.error_page", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def describe_login_error(ctx: Context, data: ErrorPage) -> LoginError:
    """Get the error of a failed login.

    Browsers are redirected to the login page with it.
    """
    error = data.error or "Default"
    return LoginError(error=error, message=f"Authentication error: {error}")
