"""Secrets of the Go server: AES-256-GCM, `v1:` and base64 of a nonce of 16 bytes, a tag of 16 bytes, and the text.

`vN:` names the key `ENCRYPTION_KEY_VN`, or `ENCRYPTION_KEY` where that is not set; a value without a version is of v1.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crewship.importing.source import SourceError
from resolvers.instance.ciphers import Cipher, Forged

FILES: Final = ("secrets.env", ".env", ".env.local")
"""Files of the data directory that may name the keys."""
_NAMED = re.compile(r"(?:export\s+)?(ENCRYPTION_KEY(?:_V\d{1,2})?)\s*=\s*[\"']?([0-9A-Fa-f]{64})[\"']?\s*\Z")
_VERSIONED = re.compile(r"v(\d{1,2}):")
FIRST: Final = 1
TAG: Final = 16


class Sealed(Exception):
    """No key opens the value."""


class Envelopes:
    """Opens values with the keys of the Go server, and then with the keys of this server, which may be the same."""

    def __init__(self, keys: Mapping[int, bytes], own: Mapping[int, bytes]) -> None:
        self._ciphers = {number: [Cipher(key)] for number, key in keys.items()}
        for number, key in own.items():
            self._ciphers.setdefault(number, []).append(Cipher(key))

    def open(self, value: str) -> str:
        """Raises Sealed."""
        found = _VERSIONED.match(value)
        number = int(found[1]) if found else FIRST
        try:
            content = base64.b64decode(value[found.end() if found else 0 :] + "==", validate=False)
        except (binascii.Error, ValueError):
            raise Sealed from None
        nonce, tag, text = content[:16], content[16 : 16 + TAG], content[16 + TAG :]
        if len(tag) < TAG:
            raise Sealed
        for cipher in [*self._ciphers.get(number, ()), *self._ciphers.get(FIRST, ())]:
            try:
                return str(cipher.decrypt(nonce, text + tag, b""), "utf-8")
            except (Forged, ValueError):
                continue
        raise Sealed

    def is_envelope(self, value: str) -> bool:
        return _VERSIONED.match(value) is not None


def keys_in(root: Path, named: Path | None) -> dict[int, bytes]:
    """The keys in the file that was named, or in files of the data directory. Raises SourceError."""
    found = dict[int, bytes]()
    for path in [named] if named is not None else [root / name for name in FILES]:
        try:
            lines = path.read_text(errors="replace").splitlines()[:10_000]
        except OSError as error:
            if named is not None:
                raise SourceError(f"{path} cannot be read ({error.strerror})") from None
            continue
        for line in lines:
            if (key := _NAMED.match(line.strip())) is not None:
                number = int(key[1].rpartition("_V")[2]) if "_V" in key[1] else FIRST
                found.setdefault(number, bytes.fromhex(key[2]))
    if named is not None and not found:
        raise SourceError(f"{named} has no line ENCRYPTION_KEY=<64 hexadecimal digits>")
    return found
