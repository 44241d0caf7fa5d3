"""The caller: one credential, and the transport that it came by."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from resolvers.errors import Reason, Refusal
from resolvers.identity.machine_tokens import OnBehalf
from resolvers.identity.webhook_senders import SenderClaim


class CredentialKind(StrEnum):
    NONE = "none"
    INVALID = "invalid"
    SESSION = "session"  # credential: the session's id
    TOKEN = "token"  # credential: the hash of a STANDARD CLI token
    ADMIN = "admin"  # credential: the keyed hash of an ADMIN CLI token
    SESSION_TICKET = "session_ticket"  # of a live channel, asked for by a session; credential: the session's id
    # of a live channel, asked for with a CLI token; credential: the id of the token's row
    TOKEN_TICKET = "token_ticket"
    SERVICE = "service"  # credential: the name of a part of this server, acting in one workspace
    INTERNAL = "internal"  # a program that showed an internal token: acts as a service does
    WEBHOOK = "webhook"  # a claim until a guard of the operation has verified it with the agent's secret


MACHINES = frozenset({CredentialKind.SERVICE, CredentialKind.INTERNAL, CredentialKind.WEBHOOK})
"""No users: they act in a workspace without being its members."""
TICKETS = frozenset({CredentialKind.SESSION_TICKET, CredentialKind.TOKEN_TICKET})
"""They end with the session or token they were asked for with, and open the operations that say so."""


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """The two tokens of a browser's session, and when the access token expires."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires: datetime
    # where it was opened by a password: what the browser is known by next time
    device: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KnownBrowser:
    """A browser that is sent elsewhere, and is to be known again when it comes back."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IssuedCsrfToken:
    """The double-submit token of a browser that is about to sign in."""

    value: str = field(repr=False)


SessionChange = IssuedSession | KnownBrowser | IssuedCsrfToken | Literal["ended"]
"""The effect of a request on the browser's session: the transport sets or clears its cookies."""


@dataclass(slots=True)
class Caller:
    """The caller of an operation. A transport creates it; it is immutable, because concurrent operations share it. Each
    operation looks the credential up in its own statement or transaction, never earlier.
    """

    kind: CredentialKind
    credential: str = ""
    reason: Reason | None = Reason.no_credentials
    refused: Refusal | None = None  # why the credential of a machine does not count
    bound: str | None = None  # id of the one workspace an internal token is good for
    any_workspace: bool = False  # the internal token is the master, which may name each
    on_behalf: OnBehalf | None = None  # whom an internal call names as its cause: a claim, until a guard asks
    webhook: SenderClaim | None = None
    body: bytes = field(default=b"", repr=False)  # as it came, of a webhook: it is what the secret has signed
    workspace: str | None = None  # id or slug the transport names: query, path or header, in this order
    user_id: str = ""
    generation: int = 0  # of a session: how often it had been refreshed when its access token was made
    reads_only: bool = False  # the credential came in the address of an HTTP request, which logs and histories keep
    client: str = ""  # address
    forwarded: bool = False  # a proxy forwarded the request: `client` may be remote even with a local address
    from_loopback: bool = False  # an internal call of this machine that no proxy forwarded
    local_socket: bool = False  # by the unix socket, which only the service's own user opens
    user_agent: str = ""
    path: str = ""
    origin: str = ""  # scheme and host the client used, for links
    https: bool = False
    cookies: dict[str, str] = field(default_factory=dict)
    mutation_id: str = ""  # the client's name of a mutation, which its events repeat
    away: bool = False  # the service reads in the name of the owner: this does not count as a use of the credential
    run_id: str = ""  # of the worker that carries out this run: what it writes is refused when the run has ended

    @classmethod
    def service(cls, name: str, workspace_id: str, run_id: str = "") -> "Caller":
        """Background work in one workspace: it passes the same door, and its writes are audited."""
        return cls(CredentialKind.SERVICE, name, workspace=workspace_id, run_id=run_id)

    @classmethod
    def nobody(cls) -> "Caller":
        return cls(CredentialKind.NONE)
