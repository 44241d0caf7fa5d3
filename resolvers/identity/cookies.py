"""The browser's cookies: their names, attributes, and what a Cookie header holds (contract: auth.session_cookie)."""

import re
from dataclasses import dataclass
from datetime import timedelta

from models.people.auth import DEVICE_LIFETIME
from models.people.sign_in_providers import ATTEMPT_LIFETIME

SESSION_LIFETIME = timedelta(days=30)
REFRESH_PATH = "/api/auth/"
GRAPHQL_PATH = f"{REFRESH_PATH}graphql"
"""The GraphQL endpoint where browsers send the cookies of `REFRESH_PATH`, too."""

# What RFC 6265 lets a value be made of (cookie-octet); our own values are hex or base64url.
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True)
class CookieNames:
    """The names on one scheme. Browsers set a `__Secure-` or `__Host-` cookie over https only."""

    access: str
    refresh: str
    csrf: str
    device: str
    browser: str
    secure: bool


HTTP = CookieNames(
    "authjs.session-token",
    "authjs.refresh-token",
    "authjs.csrf-token",
    "crewship.device",
    "crewship.browser",
    secure=False,
)
HTTPS = CookieNames(
    "__Secure-authjs.session-token",
    "__Secure-authjs.refresh-token",
    "__Host-authjs.csrf-token",
    "__Secure-crewship.device",
    "__Host-crewship.browser",
    secure=True,
)


def names_for(*, https: bool) -> CookieNames:
    return HTTPS if https else HTTP


def https_when(*, tls: bool, forwarded_proto: bytes | None, forced: bool | None) -> bool:
    """Returns true if cookies get their https names and the Secure flag; X-Forwarded-Proto counts here from any peer.

    This is harmless: a client that lies about the scheme only spoils its own cookies.
    """
    return tls or forwarded_proto == b"https" or forced is True


def set_session(access: str, refresh: str, *, https: bool, lifetime: timedelta = SESSION_LIFETIME) -> list[str]:
    """Set-Cookie values that sign a browser in."""
    names, age = names_for(https=https), int(lifetime.total_seconds())
    return [
        _set(names.access, access, "/", names.secure, age),
        _set(names.refresh, refresh, REFRESH_PATH, names.secure, age),
    ]


def set_device(value: str, *, https: bool) -> str:
    """The Set-Cookie value by which a browser is known when it signs in again; signing out leaves it."""
    names = names_for(https=https)
    return _set(names.device, value, REFRESH_PATH, names.secure, int(DEVICE_LIFETIME.total_seconds()))


def set_csrf(token: str, *, https: bool) -> list[str]:
    """The Set-Cookie value of the double-submit token, which lasts until the browser is closed."""
    names = names_for(https=https)
    return [_set(names.csrf, token, "/", names.secure, None)]


def set_browser(value: str, *, https: bool) -> str:
    """The Set-Cookie value that identifies a browser before a sign-in elsewhere: the answer must come from the same
    browser.
    """
    names = names_for(https=https)
    return _set(names.browser, value, "/", names.secure, int(ATTEMPT_LIFETIME.total_seconds()))


def clear_all() -> list[str]:
    """Set-Cookie values that sign a browser out, whichever scheme it signed in on."""
    return [
        _set(name, "", path, names.secure, 0)
        for names in (HTTP, HTTPS)
        for name, path in ((names.access, "/"), (names.refresh, REFRESH_PATH))
    ]


def parse(header: bytes | None) -> dict[str, str]:
    """The cookies of a header. Of two with one name the first counts (longer path: RFC 6265, 5.4); junk is skipped."""
    cookies: dict[str, str] = {}
    if not header:
        return cookies
    for pair in header.decode("latin-1").split(";"):
        name, separator, value = pair.partition("=")
        name = name.strip(" \t")
        if separator and name and name not in cookies:
            value = value.strip(" \t")
            cookies[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return cookies


def access_token(cookies: dict[str, str], *, https: bool) -> str | None:
    """The session token under either name, that of the scheme first: on https any page of a sibling domain, or of http,
    can set the plain one.
    """
    names = (HTTPS.access, HTTP.access) if https else (HTTP.access, HTTPS.access)
    return cookies.get(names[0]) or cookies.get(names[1]) or None


def scheme_access_token(cookies: dict[str, str], *, https: bool) -> str | None:
    """The session token under the name of the request's scheme only, as GET /api/auth/session reads it."""
    return cookies.get(names_for(https=https).access) or None


def refresh_token(cookies: dict[str, str], *, https: bool) -> str | None:
    """The refresh token; the http name is read on https too."""
    return (cookies.get(HTTPS.refresh) if https else None) or cookies.get(HTTP.refresh) or None


def device_token(cookies: dict[str, str], *, https: bool) -> str | None:
    return cookies.get(names_for(https=https).device) or None


def browser_token(cookies: dict[str, str], *, https: bool) -> str | None:
    """The session cookie of the request's scheme only: over https, only this host can have set it."""
    return cookies.get(names_for(https=https).browser) or None


def csrf_token(cookies: dict[str, str]) -> str | None:
    """The double-submit token. The command line client sends the http name on https too; `__Host-`, which no sibling
    domain can set, goes first.
    """
    return cookies.get(HTTPS.csrf) or cookies.get(HTTP.csrf) or None


def _set(name: str, value: str, path: str, secure: bool, max_age: int | None) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"not a cookie value for {name}")
    age = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path={path}{age}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
