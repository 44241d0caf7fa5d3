"""GraphQL: pairing of the command line."""

from datetime import datetime

import strawberry

from models.people.pairing import PairStatus
from resolvers.people import pairing as pairing_ops
from schema.bridge.fields import mutation, output, query


@output(pairing_ops.StartedPairing)
class StartedPairingType:
    code: str
    expires_at: datetime


@output(pairing_ops.PairingState)
class PairingStateType:
    """State of a pairing. `expiresAt` is null for a code that is not known."""

    status: PairStatus
    adapter_hint: str | None
    expires_at: datetime | None


@output(pairing_ops.RedeemedPairing)
class RedeemedPairingType:
    cli_token: str
    user_id: strawberry.ID
    email: str


@strawberry.type
class PairingQuery:
    pairing = query(pairing_ops.get_pairing, PairingStateType)


@strawberry.type
class PairingMutation:
    start_pairing = mutation(pairing_ops.start_pairing, StartedPairingType)
    redeem_pairing = mutation(pairing_ops.redeem_pairing, RedeemedPairingType)
