"""REST: the caller's peer cards and facts, and their consent to them."""

from resolvers.people import privacy
from rest_compat.http.table import DELETE, GET, PUT

MODEL = "/api/v1/users/me/user-model"
CARDS, CONSENT = "/api/v1/users/me/peer-cards", "/api/v1/users/me/peer-consent"
ROUTES = (
    GET(CARDS, privacy.list_my_peer_cards, privacy.MyPeerCards),
    DELETE(CARDS, privacy.purge_my_peer_cards, privacy.Purged),
    GET(MODEL, privacy.read_my_user_model, privacy.MyUserModel),
    DELETE(MODEL, privacy.delete_my_user_model, privacy.Purged),
    DELETE(f"{MODEL}/facts/{{key}}", privacy.forget_my_fact, privacy.Forgotten),
    GET(CONSENT, privacy.get_my_consent, privacy.Consent),
    PUT(CONSENT, privacy.set_my_consent, privacy.ConsentSet),
)
