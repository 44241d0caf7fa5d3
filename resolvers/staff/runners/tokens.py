"""Tokens of runners. A token names its runner and is signed: a forged one costs no statement."""

import re
from typing import Final

from sqlmodel import col

from models.staff.runners import Runner
from resolvers.instance.crypto import digest, secret_equals
from resolvers.kernel import Code, Context, Refusal, instance

PREFIX: Final = "crewship_runner_"
UNKNOWN: Final = "This token of a runner is not valid, or was revoked"
_TOKEN: Final = re.compile(rf"{PREFIX}([A-Za-z0-9]{{1,64}})_([0-9a-f]{{64}})")


def token_of(id: str) -> str:
    return f"{PREFIX}{id}_{instance.signer.runner_token(id)}"


def _is_genuine(token: str) -> bool:
    found = _TOKEN.fullmatch(token)
    return found is not None and secret_equals(found[2], instance.signer.runner_token(found[1]))


async def runner_of(ctx: Context, token: str) -> Runner:
    """The locked runner of a token, for an operation declared `late`: its transaction begins here, behind the
    signature. The call enters the runner's workspace.
    """
    if not _is_genuine(token):
        raise Refusal(Code.UNAUTHENTICATED, UNKNOWN)
    await ctx.begin()
    hashed = digest(token)
    place = await ctx.place_by_secret(Runner.token_hash, hashed)
    if place is None:
        raise Refusal(Code.UNAUTHENTICATED, UNKNOWN)
    await ctx.enter(place)
    runner = await ctx.select(Runner, col(Runner.token_hash) == hashed).locked().first()
    if runner is None:
        raise Refusal(Code.UNAUTHENTICATED, UNKNOWN)
    return runner
