"""A sign-in that is under way at a provider: begun in a browser, and finished by the same browser, once."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col

from models.people.sign_in_providers import ATTEMPT_LIFETIME, SignInAttempt
from resolvers.identity import cookies
from resolvers.instance.crypto import digest
from resolvers.kernel import Code, Context, Refusal
from resolvers.kernel.store.across import of_instance

BROWSER = re.compile("[0-9a-f]{64}")
UNKNOWN = "This sign-in is unknown, finished, or older than 15 minutes; start again"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secrets derived from the browser's cookie and the state: without both of these no secret can be computed."""

    browser: str
    state: str

    @property
    def nonce(self) -> str:
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        return self._made("code verifier")

    def _made(self, of: str) -> str:
        return hmac.new(self.browser.encode(), f"{of}:{self.state}".encode(), hashlib.sha256).hexdigest()


def new_secrets(ctx: Context) -> Secrets:
    """For one more sign-in. A browser that has others under way keeps its cookie: they may end in any order."""
    return Secrets(browser_of(ctx) or secrets.token_hex(32), secrets.token_hex(32))


def browser_of(ctx: Context) -> str | None:
    value = cookies.browser_token(ctx.caller.cookies, https=ctx.caller.https)
    return value if value is not None and BROWSER.fullmatch(value) else None


async def note(ctx: Context, kept: Secrets, provider: str, path: str) -> None:
    await ctx.insert(
        SignInAttempt(state_hash=digest(kept.state), browser_hash=digest(kept.browser), provider=provider, path=path)
    )


async def claim(ctx: Context, provider: str, state: str) -> tuple[Secrets, str]:
    """The secrets of a returning sign-in, and the path that it began at.

    It commits its own transaction before the provider is called, so the code is redeemed once even if a later step
    fails. A response in another browser is refused and does not use up the attempt.
    """
    browser = browser_of(ctx)
    if browser is None:
        raise Refusal(Code.BAD_REQUEST, UNKNOWN)

    async with of_instance() as tables:
        found = await tables.take(
            SignInAttempt,
            col(SignInAttempt.state_hash) == digest(state),
            col(SignInAttempt.browser_hash) == digest(browser),
            col(SignInAttempt.provider) == provider,
            col(SignInAttempt.created_at) > func.now() - ATTEMPT_LIFETIME,
            columns=("path",),
        )
    if not found:
        raise Refusal(Code.BAD_REQUEST, UNKNOWN)
    return Secrets(browser, state), found[0]["path"]
