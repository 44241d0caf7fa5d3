"""GraphQL: sign-in providers, and the caller's accounts there. The way to a provider and back is REST."""

from datetime import datetime

import strawberry

from models.people.sign_in_providers import LinkedIdentity
from resolvers.people.sign_in_providers import identities, sign_in
from schema.bridge.fields import mutation, node, output, query
from schema.bridge.results import DeletedType


@output(sign_in.SignInProviderInfo)
class SignInProviderType:
    id: strawberry.ID
    name: str
    start_url: str


@output(sign_in.GoogleStatus)
class GoogleStatusType:
    enabled: bool


@node(LinkedIdentity)
class LinkedIdentityType:
    """An account at a sign-in provider that is linked to the caller's.

    `email` is the latest address from the provider, `usedAt` the time of the last sign-in.
    """

    id: strawberry.ID
    provider: str
    issuer: str
    subject: str
    email: str | None
    created_at: datetime
    used_at: datetime


@strawberry.type
class SignInProviderQuery:
    sign_in_providers = query(sign_in.list_sign_in_providers, SignInProviderType)
    google_status = query(sign_in.get_google_status, GoogleStatusType)
    linked_identities = query(identities.list_linked_identities, LinkedIdentityType)


@strawberry.type
class SignInProviderMutation:
    unlink_identity = mutation(identities.unlink_identity, DeletedType)
