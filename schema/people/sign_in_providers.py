"""GraphQL: sign-in providers, and the caller's accounts there. The way to a provider and back is REST."""

import strawberry

from models.people.sign_in_providers import LinkedIdentity
from resolvers.people.sign_in_providers import identities, sign_in
from schema.bridge.fields import mutation, node, query


@node(LinkedIdentity)
class LinkedIdentityType:
    """An account at a sign-in provider that is linked to the caller's.

    `email` is the latest address from the provider, `usedAt` the time of the last sign-in.
    """

    fields = "id provider issuer subject email created_at used_at"


@strawberry.type
class SignInProviderQuery:
    sign_in_providers = query(sign_in.list_sign_in_providers)
    google_status = query(sign_in.get_google_status)
    linked_identities = query(identities.list_linked_identities, LinkedIdentityType)


@strawberry.type
class SignInProviderMutation:
    unlink_identity = mutation(identities.unlink_identity)
