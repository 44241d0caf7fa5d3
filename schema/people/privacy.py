"""GraphQL: the caller's peer cards and facts, and their consent to them."""

import strawberry

from resolvers.people import privacy as privacy_ops
from schema.bridge.fields import mutation, output, query

output(privacy_ops.Purged, name="PeerCardsPurged")
output(privacy_ops.Forgotten, name="FactForgotten")
output(privacy_ops.Consent, name="PeerConsent")
output(privacy_ops.ConsentSet, name="PeerConsentSet")


@strawberry.type
class PrivacyQuery:
    my_peer_consent = query(privacy_ops.get_my_consent)


@strawberry.type
class PrivacyMutation:
    read_my_peer_cards = mutation(privacy_ops.list_my_peer_cards)
    purge_my_peer_cards = mutation(privacy_ops.purge_my_peer_cards)
    read_my_user_model = mutation(privacy_ops.read_my_user_model)
    delete_my_user_model = mutation(privacy_ops.delete_my_user_model)
    forget_my_fact = mutation(privacy_ops.forget_my_fact)
    set_my_peer_consent = mutation(privacy_ops.set_my_consent)
