"""Privacy: what a user can do about the peer cards that agents hold on them."""

from resolvers.kernel import Domain
from resolvers.people.privacy.cards import MyPeerCards, Purged, list_my_peer_cards, purge, purge_my_peer_cards
from resolvers.people.privacy.consent import Consent, ConsentSet, get_my_consent, set_my_consent
from resolvers.people.privacy.writing import write_peer_card

DOMAIN = Domain("privacy", scopes=None)
