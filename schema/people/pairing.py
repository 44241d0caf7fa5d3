"""GraphQL: pairing of the command line."""

import strawberry

from resolvers.people import pairing as pairing_ops
from schema.bridge.fields import mutation, query


@strawberry.type
class PairingQuery:
    pairing = query(pairing_ops.get_pairing)


@strawberry.type
class PairingMutation:
    start_pairing = mutation(pairing_ops.start_pairing)
    redeem_pairing = mutation(pairing_ops.redeem_pairing)
