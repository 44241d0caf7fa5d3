"""GraphQL: OAuth. The way back from an authorization server is REST."""

import strawberry

from resolvers.resources.oauth import connecting, consents, discovery
from resolvers.resources.oauth import providers as provider_ops
from schema.bridge.fields import mutation, output, query

output(discovery.DiscoveryResult, fields={"source": str})


@strawberry.type
class OAuthQuery:
    oauth_providers = query(provider_ops.list_oauth_providers)
    discover_oauth = query(discovery.discover_oauth)


@strawberry.type
class OAuthMutation:
    initiate_oauth = mutation(consents.initiate_oauth)
    exchange_oauth = mutation(consents.exchange_oauth)
    start_oauth_loopback = mutation(consents.start_loopback)
    auto_connect_oauth = mutation(connecting.auto_connect)
