"""The internal token of agents' containers (contract: auth.internal_token)."""

import hmac
from dataclasses import dataclass, field

from resolvers.errors import Code, Refusal, forbidden
from resolvers.instance.addresses import AddressReach, reach
from resolvers.instance.crypto import secret_equals

_WORKSPACE_PREFIX = "wsv1."
_WORKSPACE_CONTEXT = b"crewship internal-token workspace binding v1\0"  # contract: auth.internal_token
_CALLER_CONTEXT = b"crewship internal-token caller-identity v1"


@dataclass(frozen=True, slots=True)
class Master:
    """A caller of the internal routes that may name any workspace."""


@dataclass(frozen=True, slots=True)
class BoundTo:
    """A caller of the internal routes of one workspace."""

    workspace_id: str


InternalPrincipal = Master | BoundTo


@dataclass(frozen=True, slots=True)
class CallOrigin:
    """The origin of an internal call: the client's address, whether a proxy forwarded it, and whether it came by the
    unix socket.
    """

    address: str
    forwarded: bool
    local_socket: bool

    @property
    def reach(self) -> AddressReach:
        """A client that can open the socket is on this machine. A forwarded call may come from anywhere, regardless of
        its address.
        """
        if self.local_socket:
            return AddressReach.LOOPBACK
        return AddressReach.PUBLIC if self.forwarded else reach(self.address)


def issue_workspace_token(master: str, workspace_id: str) -> str:
    """`wsv1.<workspace id>.<hex HMAC>`: good on the internal routes of one workspace as long as the master token is."""
    return f"{_WORKSPACE_PREFIX}{workspace_id}.{_workspace_mac(master, workspace_id)}"


def verify_internal(
    token: str | None, *, master: str, caller: CallOrigin, allow_any: bool = False
) -> InternalPrincipal:
    """The caller behind an X-Internal-Token.

    Callers beyond the private networks get NOT_FOUND; a wrong token, or the master's token from beyond loopback, gets
    FORBIDDEN. `allow_any` (CREWSHIP_INTERNAL_ALLOW_ANY) drops the rules about addresses. An empty master admits no
    caller.
    """
    distance = AddressReach.LOOPBACK if allow_any else caller.reach
    if distance is AddressReach.PUBLIC:
        raise Refusal(Code.NOT_FOUND, "Not found")
    if not token or not master:
        raise forbidden()
    if token.startswith(_WORKSPACE_PREFIX):
        workspace_id, _, mac = token.removeprefix(_WORKSPACE_PREFIX).rpartition(".")
        if workspace_id and secret_equals(mac, _workspace_mac(master, workspace_id)):
            return BoundTo(workspace_id)
    if secret_equals(token, master) and distance is AddressReach.LOOPBACK:
        return Master()
    raise forbidden()


def _workspace_mac(master: str, workspace_id: str) -> str:
    return hmac.digest(_utf8(master), _WORKSPACE_CONTEXT + _utf8(workspace_id), "sha256").hex()


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """The user an internal call names as its cause. `key`: the token that the call showed, which signs the name."""

    user_id: str
    signature: str = field(repr=False)
    key: str = field(repr=False)

    def signed_for(self, workspace_id: str) -> bool:
        return secret_equals(self.signature, caller_signature(self.key, workspace_id, self.user_id))


def caller_signature(token: str, workspace_id: str, user_id: str) -> str:
    """X-Caller-Signature: lower-case hex HMAC-SHA256 by the internal token as it is sent (contract)."""
    signed = b"\0".join((_CALLER_CONTEXT, _utf8(workspace_id), _utf8(user_id)))
    return hmac.digest(_utf8(token), signed, "sha256").hex()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
