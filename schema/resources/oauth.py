"""GraphQL: OAuth. The way back from an authorization server is REST."""

import strawberry

from resolvers.resources.oauth import connecting, consents, discovery
from resolvers.resources.oauth import providers as provider_ops
from schema.bridge.fields import mutation, output, query


@output(provider_ops.OAuthProvider)
class OAuthProviderType:
    """Where consent is asked for and codes are redeemed, and the scopes that are usual there."""

    auth_url: str
    token_url: str
    default_scopes: str


@output(provider_ops.OAuthProviders)
class OAuthProvidersType:
    """The authorization servers that are known beforehand."""

    google: OAuthProviderType
    slack: OAuthProviderType
    github: OAuthProviderType
    microsoft: OAuthProviderType
    linear: OAuthProviderType
    gitlab: OAuthProviderType
    cloudflare: OAuthProviderType
    stripe: OAuthProviderType
    notion: OAuthProviderType


@output(discovery.DiscoveryResult)
class OAuthDiscoveryType:
    """How an authorization server is asked for consent."""

    auth_url: str
    token_url: str
    registration_endpoint: str | None
    scopes: str
    supports_dcr: bool
    supports_pkce: bool
    source: str


@output(consents.OAuthStarted)
class OAuthStartedType:
    """`authUrl` is to be opened in a browser. `state` is good once, for 15 minutes."""

    auth_url: str
    state: str


@output(consents.LoopbackStarted)
class OAuthLoopbackStartedType:
    """`loopbackPort`: where this server listens for two minutes, on its own loopback address."""

    auth_url: str
    state: str
    loopback_port: int


@output(consents.OAuthConnected)
class OAuthConnectedType:
    """The credential has its tokens."""

    status: str
    credential_id: strawberry.ID


@output(connecting.AutoConnected)
class OAuthAutoConnectedType:
    """`status`: `authorize`, and `authUrl` is to be opened in a browser; or `needs_client_id`."""

    status: str
    auth_url: str
    credential_id: strawberry.ID | None
    token_url: str | None
    scopes: str | None
    message: str | None


@strawberry.type
class OAuthQuery:
    oauth_providers = query(provider_ops.list_oauth_providers, OAuthProvidersType)
    discover_oauth = query(discovery.discover_oauth, OAuthDiscoveryType)


@strawberry.type
class OAuthMutation:
    initiate_oauth = mutation(consents.initiate_oauth, OAuthStartedType)
    exchange_oauth = mutation(consents.exchange_oauth, OAuthConnectedType)
    start_oauth_loopback = mutation(consents.start_loopback, OAuthLoopbackStartedType)
    auto_connect_oauth = mutation(connecting.auto_connect, OAuthAutoConnectedType)
