"""Privacy: what a user can do about the peer cards and facts that agents hold on them."""

from resolvers.kernel import Domain
from resolvers.people.privacy.cards import MyPeerCards, Purged, list_my_peer_cards, purge, purge_my_peer_cards
from resolvers.people.privacy.consent import Consent, ConsentSet, get_my_consent, set_my_consent
from resolvers.people.privacy.user_model import (
    Forgotten,
    MyUserModel,
    delete_my_user_model,
    facts_in,
    forget_model,
    forget_my_fact,
    read_my_user_model,
)
from resolvers.people.privacy.writing import write_peer_card, write_user_model

DOMAIN = Domain("privacy", scopes=None)
