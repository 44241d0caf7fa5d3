"""GraphQL: pairing of the command line."""

import strawberry

from resolvers.people import pairing as pairing_ops
from schema.bridge.fields import mutation, output, query

output(pairing_ops.PairingState, description="State of a pairing. `expiresAt` is null for an unknown code.")


@strawberry.type
class PairingQuery:
    pairing = query(pairing_ops.get_pairing)


@strawberry.type
class PairingMutation:
    start_pairing = mutation(pairing_ops.start_pairing)
    redeem_pairing = mutation(pairing_ops.redeem_pairing)
