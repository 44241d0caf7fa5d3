"""Pairing of the command line: a signed-in user gets a code, and the command line exchanges it for a CLI token."""

import re
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import func
from sqlmodel import col

from models.people.auth import CliToken, TokenTier, User
from models.people.pairing import LONGEST_HINT, Pairing, PairStatus
from resolvers.kernel import (
    NOW,
    Absent,
    Action,
    Auth,
    Code,
    Context,
    Domain,
    Input,
    Output,
    Refusal,
    Tenancy,
    Text,
    Url,
    command,
    instance,
    procedure,
)
from resolvers.people.auth.cli_tokens import new_token

DOMAIN = Domain("pairing", scopes=None)

ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
LENGTH = 8
LIFETIME = timedelta(minutes=10)
INVALID = "Invalid or expired code"  # the command line looks for these words
TOKEN_NAME = "pair"

_HINT = re.compile(r"[A-Za-z0-9_]+")


def _code(typed: str) -> str:
    """As it was given out, but for the dash."""
    code = re.sub(r"[\s-]", "", typed).upper()
    if len(code) != LENGTH:
        raise PydanticCustomError("code", "must have {length} letters and digits", {"length": LENGTH})
    return code


def _hint(given: str | None) -> str | None:
    """A text that cannot be a part of a name is left out."""
    hint = (given or "")[:LONGEST_HINT]
    return hint.upper() if _HINT.fullmatch(hint) else None


PairingCode = Annotated[Text, AfterValidator(_code)]
AdapterHint = Annotated[Url | None, AfterValidator(_hint)]


class StartPairing(Input):
    """`adapter_hint`: the adapter that the command line is used with; ignored unless it has only letters, digits
    and _."""

    adapter_hint: AdapterHint = None


class PollPairing(Input):
    """Case, blanks and dashes of the code do not matter."""

    code: PairingCode


class RedeemPairing(PollPairing):
    """The code ignores case, blanks and dashes. `adapter_hint` becomes part of the token's name."""

    adapter_hint: AdapterHint = None


class StartedPairing(Output):
    """A code for the command line. It is returned only here."""

    code: str = Field(repr=False)
    expires_at: datetime


class PairingState(Output):
    """State of a pairing. `expires_at` is null for an unknown code."""

    status: PairStatus
    adapter_hint: Annotated[str | None, Absent()] = None
    expires_at: datetime | None = None


class RedeemedPairing(Output):
    """The user, and a CLI token, whose value is returned only here."""

    cli_token: str = Field(repr=False)
    user_id: str
    email: str


@command(
    "auth.pair_start",
    Action.SELF,
    audit="pairing.started",
    tenancy=Tenancy.NONE,
    secret=True,
    again="pairings_code_hash_key",
)
async def start_pairing(ctx: Context, data: StartPairing) -> StartedPairing:
    """Start a pairing.

    Returns a code that the command line exchanges for a CLI token of the caller, once and within ten minutes. Earlier
    codes stay valid.
    """
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    until = await ctx.now() + LIFETIME
    await ctx.insert(
        Pairing(
            user_id=ctx.user_id,
            code_hash=instance.signer.code_hash(code),
            adapter_hint=data.adapter_hint,
            expires_at=until,
        )
    )
    return StartedPairing(code=f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}", expires_at=until)


@procedure("auth.pair_poll", Action.SELF, tenancy=Tenancy.NONE)
async def get_pairing(ctx: Context, data: PollPairing) -> PairingState:
    """Get the status of a pairing.

    Another user's code reads as expired, like an unknown one.
    """
    own = (col(Pairing.code_hash) == instance.signer.code_hash(data.code), col(Pairing.user_id) == ctx.user_id)
    found = await ctx.select(Pairing, *own).first()
    if found is None:
        return PairingState(status=PairStatus.expired)
    status = PairStatus.pending if found.expires_at > await ctx.now() else PairStatus.expired
    if found.consumed_at is not None:
        status = PairStatus.consumed
    return PairingState(status=status, adapter_hint=found.adapter_hint, expires_at=found.expires_at)


@command(
    "auth.pair_redeem", Action.NONE, audit="cli_token.created", auth=Auth.NONE, errors=(Code.BAD_REQUEST,), secret=True
)
async def redeem_pairing(ctx: Context, data: RedeemPairing) -> RedeemedPairing:
    """Create a CLI token with a pairing code.

    A code works once. Unknown, used and expired codes get the same answer.
    """
    known = col(Pairing.code_hash) == instance.signer.code_hash(data.code)
    live = (known, col(Pairing.consumed_at).is_(None), col(Pairing.expires_at) > func.now())
    hinted: dict[str, Any] = {} if data.adapter_hint is None else {"adapter_hint": data.adapter_hint}
    if not await ctx.update_where(Pairing, *live, consumed_at=NOW, **hinted):
        raise Refusal(Code.BAD_REQUEST, INVALID)
    pairing = await ctx.select(Pairing, known).one()
    user = await ctx.get(User, pairing.user_id)
    ctx.user_id = user.id
    token, token_hash = new_token(TokenTier.STANDARD)
    await ctx.insert(CliToken(user_id=user.id, name=_token_name(pairing), token_hash=token_hash))
    return RedeemedPairing(cli_token=token, user_id=user.id, email=user.email)


def _token_name(pairing: Pairing) -> str:
    return TOKEN_NAME if pairing.adapter_hint is None else f"{TOKEN_NAME}-{pairing.adapter_hint.lower()}"


async def end_pairings(ctx: Context, user_id: str) -> None:
    """Codes of the user that wait for a command line are good for nothing from here on."""
    waiting = (col(Pairing.user_id) == user_id, col(Pairing.consumed_at).is_(None))
    await ctx.delete_where(Pairing, *waiting)
