"""Credentials that have expired, and the health of the providers they connect to."""

from resolvers.kernel import Event


class CredentialExpired(Event, type="credential.expired", channel="workspace:{workspace_id}"):
    """The token of an OAuth credential has expired and was not renewed: a user has to connect it again."""

    credential_id: str
    reason: str
