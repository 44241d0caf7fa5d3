"""Tokens of credentials are renewed before they end."""

from resolvers.errors import Refusal
from resolvers.instance.running import instance
from resolvers.instance.vault import Unopenable
from resolvers.resources.oauth.client import TIMEOUT, Rejected, Tokens, refreshed
from resolvers.resources.oauth.refreshing import (
    DUE,
    END,
    REFRESH,
    CredentialOfJob,
    due,
    end,
    enqueue_due,
    enqueue_ended,
    expire,
    refresh_token_of,
    renew,
)
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(DUE)
async def look(tick: Tick) -> None:
    await tick.write(enqueue_due)
    await tick.write(enqueue_ended)


@carries(REFRESH)
async def refresh(work: Work, data: CredentialOfJob) -> None:
    """A token that the server refuses has expired. If the server does not answer, the job retries while the token is
    valid.
    """
    credential = await work.read(lambda ctx: due(ctx, data.credential_id))
    if credential is None:
        return

    async def ask(_: str) -> Tokens | None:
        try:
            return await refreshed(credential, await refresh_token_of(credential))
        except (Rejected, Unopenable):
            return None
        except Refusal:
            ends = credential.oauth_expires_at
            if ends is not None and ends < instance.clock.now():
                return None
            raise

    tokens = await work.call("ask", ask, timeout=2 * TIMEOUT)
    if tokens is None:
        await work.write("expire", lambda ctx: expire(ctx, credential))
    else:
        await work.write("renew", lambda ctx: renew(ctx, credential, tokens))


@carries(END)
async def ended(work: Work, data: CredentialOfJob) -> None:
    await work.write("end", lambda ctx: end(ctx, data.credential_id))
