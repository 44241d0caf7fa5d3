"""The WebAuthn part of a server, by py_webauthn: options for browsers, and verification of their responses.

This module does not use the database. The library is loaded on first use and works in threads: loading it is slow, and
clients choose the size of RSA keys.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from models.people.passkeys import LONGEST_CREDENTIAL_ID, LONGEST_PUBLIC_KEY, Passkey
from resolvers.kernel import Code, Refusal, instance

T = TypeVar("T")
TIMEOUT = 5 * 60  # seconds that a browser has for one ceremony
CHALLENGE = 32  # bytes
NAME = "Crewship"
NO_PLACE = "Passkeys require CREWSHIP_PUBLIC_URL: an https origin with a host name, or http://localhost"
KNOWN_TRANSPORTS = frozenset({"ble", "hybrid", "internal", "nfc", "smart-card", "usb"})
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """This server, as authenticators know it: `id` is the host of its public URL."""

    id: str
    origin: str


class NotAccepted(Exception):
    """A browser's response does not prove what it has to prove."""


class CounterWentBack(NotAccepted):
    """The signature is genuine, and the authenticator has made as many before: there may be a copy of it."""


@dataclass(frozen=True, slots=True)
class NewKey:
    credential_id: bytes
    public_key: bytes
    sign_count: int
    backed_up: bool
    transports: list[str]


@dataclass(frozen=True, slots=True)
class Assertion:
    """The counter that a verified signature carries, and whether the passkey is backed up by now."""

    sign_count: int
    backed_up: bool


def is_available() -> bool:
    """Returns true if browsers support passkeys for the public URL."""
    parts = urlsplit(instance.settings.public_url or "")
    host = parts.hostname or ""
    return bool(host) and not _is_address(host) and (parts.scheme == "https" or host == "localhost")


def relying_party() -> RelyingParty:
    """UNAVAILABLE if passkeys are not possible."""
    if not is_available():
        raise Refusal(Code.UNAVAILABLE, NO_PLACE)
    parts = urlsplit(instance.settings.public_url or "")
    host = parts.hostname or ""
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return RelyingParty(host, f"{parts.scheme}://{host}{port}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _in_thread(function: Callable[..., T]) -> Callable[..., Any]:
    """Runs the function in a thread. Any error of the library becomes NotAccepted, regardless of the input."""

    def judged(*given: Any) -> T:
        try:
            return function(*given)
        except NotAccepted:
            raise
        except Exception as error:
            raise NotAccepted(type(error).__name__) from error

    @functools.wraps(function)
    async def run(*given: Any) -> T:
        return await asyncio.to_thread(judged, *given)

    return run


@_in_thread
def registration_options(
    party: RelyingParty, user_id: str, email: str, name: str, known: Sequence[Passkey]
) -> dict[str, Any]:
    """A discoverable credential that verifies its user; none of an authenticator that has one of this user."""
    import webauthn
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    selection = AuthenticatorSelectionCriteria(
        resident_key=ResidentKeyRequirement.REQUIRED,
        require_resident_key=True,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=user_id.encode(),
        user_name=email,
        user_display_name=name or email,
        timeout=TIMEOUT * 1000,
        authenticator_selection=selection,
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(options)


@_in_thread
def sign_in_options(party: RelyingParty, allowed: Sequence[Passkey]) -> dict[str, Any]:
    """`allowed`: none for whichever passkey of this server the person chooses."""
    import webauthn
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement

    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        timeout=TIMEOUT * 1000,
        allow_credentials=_descriptors(allowed),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def _descriptors(passkeys: Sequence[Passkey]) -> list[Any]:
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=passkey.credential_id, transports=[AuthenticatorTransport(name) for name in passkey.transports]
        )
        for passkey in passkeys
    ]


@_in_thread
def verify_registration(party: RelyingParty, challenge: str, credential: dict[str, Any]) -> NewKey:
    """No attestation was asked for; browsers take it out, but for what an authenticator signs with the new key."""
    import webauthn
    from webauthn.helpers import base64url_to_bytes, parse_attestation_object, parse_registration_credential_json
    from webauthn.helpers.structs import AttestationFormat

    parsed = parse_registration_credential_json(credential)
    if parse_attestation_object(parsed.response.attestation_object).fmt not in (
        AttestationFormat.NONE,
        AttestationFormat.PACKED,
    ):
        raise NotAccepted("attestation")
    verified = webauthn.verify_registration_response(
        credential=parsed,
        expected_challenge=base64url_to_bytes(challenge),
        expected_rp_id=party.id,
        expected_origin=party.origin,
        require_user_verification=True,
    )
    if len(verified.credential_id) > LONGEST_CREDENTIAL_ID or len(verified.credential_public_key) > LONGEST_PUBLIC_KEY:
        raise NotAccepted("size")
    named = credential.get("response", {}).get("transports")
    transports = (
        sorted(KNOWN_TRANSPORTS.intersection(n for n in named if isinstance(n, str))) if isinstance(named, list) else []
    )
    return NewKey(
        verified.credential_id,
        verified.credential_public_key,
        verified.sign_count,
        verified.credential_backed_up,
        transports,
    )


@_in_thread
def verify_sign_in(party: RelyingParty, challenge: str, credential: dict[str, Any], passkey: Passkey) -> Assertion:
    """The handle names the user to whom the authenticator has given the passkey; security keys may leave it out."""
    import webauthn
    from webauthn.helpers import base64url_to_bytes, parse_authentication_credential_json

    parsed = parse_authentication_credential_json(credential)
    handle = parsed.response.user_handle
    if handle is not None and handle != passkey.user_id.encode():
        raise NotAccepted("user handle")
    verified = webauthn.verify_authentication_response(
        credential=parsed,
        expected_challenge=base64url_to_bytes(challenge),
        expected_rp_id=party.id,
        expected_origin=party.origin,
        credential_public_key=passkey.public_key,
        credential_current_sign_count=0,  # compared below, where it is known that the signature is genuine
        require_user_verification=True,
    )
    counts = verified.new_sign_count > 0 or passkey.sign_count > 0
    if counts and verified.new_sign_count <= passkey.sign_count:
        raise CounterWentBack("counter")
    return Assertion(verified.new_sign_count, verified.credential_backed_up)
