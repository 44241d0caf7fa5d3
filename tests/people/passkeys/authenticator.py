"""An authenticator in software, and the page that asks it, for Chromium is not everywhere. Every part can lie."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One discoverable credential. `origin` is that of the page which asks."""

    origin: str = "https://crewship.example.com"
    rp_id: str | None = None  # another than the one it is asked for
    flags: int = PRESENT | VERIFIED
    count: int = 0
    counts: bool = True
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """`navigator.credentials.create()`."""
        self.handle = decoded(options["user"]["id"])
        public = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32, "big"), -3: public.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        data = self._data(options["rp"]["id"], ATTESTED) + attested
        attestation = {"fmt": lies.pop("fmt", "none"), "attStmt": {}, "authData": data}
        client = self._client(lies.pop("says", "webauthn.create"), lies.pop("challenge", options["challenge"]))
        response = {
            "clientDataJSON": encoded(client),
            "attestationObject": encoded(cbor2.dumps(attestation)),
            "transports": ["internal", "hybrid", "telepathy"],
        }
        return self._credential(response, lies)

    def get(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """`navigator.credentials.get()`."""
        if self.counts:
            self.count += 1
        client = self._client(lies.pop("says", "webauthn.get"), lies.pop("challenge", options["challenge"]))
        data = self._data(options["rpId"])
        signed = lies.pop("signs", data + hashlib.sha256(client).digest())
        response = {
            "clientDataJSON": encoded(client),
            "authenticatorData": encoded(data),
            "signature": encoded(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            "userHandle": encoded(self.handle),
        }
        return self._credential(response, lies)

    def _data(self, rp_id: str, more: int = 0) -> bytes:
        hashed = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return hashed + bytes([self.flags | more]) + self.count.to_bytes(4, "big")

    def _client(self, type: str, challenge: str) -> bytes:
        said = {"type": type, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _credential(self, response: dict[str, Any], lies: dict[str, Any]) -> dict[str, Any]:
        named = {"id": encoded(self.id), "rawId": encoded(self.id), "type": "public-key"}
        return named | {"response": response, "clientExtensionResults": {}} | lies
