"""GraphQL: the caller's peer cards, and their consent to them."""

from datetime import datetime

import strawberry

from resolvers.people import privacy as privacy_ops
from schema.bridge.fields import mutation, output, query


@output(privacy_ops.MyPeerCard)
class MyPeerCardType:
    """What an agent has noted about the caller. `userSlug` is the card's name for the caller; `content` is Markdown."""

    id: strawberry.ID
    agent_id: strawberry.ID
    agent_slug: str
    user_slug: str
    bytes: int
    created_at: datetime
    updated_at: datetime
    content: str | None


@output(privacy_ops.MyPeerCards)
class MyPeerCardsType:
    """The peer cards about the caller in a workspace."""

    user_id: strawberry.ID
    peers: list[MyPeerCardType]


@output(privacy_ops.Purged, name="PeerCardsPurged")
class PurgedType:
    """How many peer cards were removed."""

    user_id: strawberry.ID
    purged: int


@output(privacy_ops.Consent, name="PeerConsent")
class ConsentType:
    """The choice of a user in a workspace. `optedOutAt` is empty unless they have opted out."""

    user_id: strawberry.ID
    workspace_id: strawberry.ID
    opted_out: bool
    opted_out_at: str


@output(privacy_ops.ConsentSet, name="PeerConsentSet")
class ConsentSetType:
    """The choice, and how many peer cards were removed."""

    user_id: strawberry.ID
    workspace_id: strawberry.ID
    opted_out: bool
    purged: int


@strawberry.type
class PrivacyQuery:
    my_peer_consent = query(privacy_ops.get_my_consent, ConsentType)


@strawberry.type
class PrivacyMutation:
    read_my_peer_cards = mutation(privacy_ops.list_my_peer_cards, MyPeerCardsType)
    purge_my_peer_cards = mutation(privacy_ops.purge_my_peer_cards, PurgedType)
    set_my_peer_consent = mutation(privacy_ops.set_my_consent, ConsentSetType)
