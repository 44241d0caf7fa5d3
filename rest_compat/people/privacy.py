"""REST: the caller's peer cards, and their consent to them."""

from resolvers.people import privacy
from rest_compat.http.table import DELETE, GET, PUT

CARDS, CONSENT = "/api/v1/users/me/peer-cards", "/api/v1/users/me/peer-consent"
ROUTES = (
    GET(CARDS, privacy.list_my_peer_cards, privacy.MyPeerCards),
    DELETE(CARDS, privacy.purge_my_peer_cards, privacy.Purged),
    GET(CONSENT, privacy.get_my_consent, privacy.Consent),
    PUT(CONSENT, privacy.set_my_consent, privacy.ConsentSet),
)
