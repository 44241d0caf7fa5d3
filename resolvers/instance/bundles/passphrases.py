"""A small content that is sealed with a passphrase: an age file (https://age-encryption.org/v1) of one scrypt stanza.

Libraries of age choose the cost by the speed of the machine, up to a gigabyte of memory. Here it is fixed, so that a
bundle of any machine is opened by any other. The file says it, and a larger one than `MOST_COST` is not computed.

Deriving a key takes a second and holds the memory: another process does it.
"""

import asyncio
import base64
import hmac
import os
import re
import sys
from typing import Final

from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.ciphers import derived

COST: Final = 18  # the logarithm of scrypt's N: 256 MiB; age itself chooses about as much
MOST_COST: Final = 20  # 1 GiB, which bundles of earlier releases may have
MOST_CONTENT: Final = 64 << 10  # bytes of one chunk, and there is no other
PATIENCE: Final = 120.0  # seconds
WRONG_KEY: Final = "The passphrase or the identity does not open this bundle"
NOT_OURS: Final = "The key of this bundle is not sealed as Crewship seals it"
TOO_COSTLY: Final = "The key of this bundle would take {} MiB of memory to open; at most {} are allowed"
NO_MEMORY: Final = "The server has no memory left to derive a key from the passphrase"
_VERSION: Final = b"age-encryption.org/v1"
_FILE: Final = re.compile(
    rb"(?P<header>" + re.escape(_VERSION) + rb"\n-> scrypt (?P<salt>[A-Za-z0-9+/]{22}) (?P<cost>[1-9][0-9]{0,2})\n"
    rb"(?P<key>[A-Za-z0-9+/]{43})\n---) (?P<mac>[A-Za-z0-9+/]{43})\n(?P<nonce>.{16})(?P<content>.{16,})",
    re.DOTALL,
)
_ONLY: Final = bytes(11) + b"\x01"  # the nonce of a chunk that is the first and the last
_ONCE: Final = bytes(12)  # the nonce of a key that is used once
_CHILD: Final = """
import hashlib, sys
cost, salt, word = sys.stdin.read().split(" ")
n = 1 << int(cost)
made = hashlib.scrypt(
    bytes.fromhex(word), salt=bytes.fromhex(salt), n=n, r=8, p=1, maxmem=(n << 10) + (1 << 20), dklen=32
)
sys.stdout.write(made.hex())
"""


async def sealed(content: bytes, passphrase: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(content) > MOST_CONTENT:
        raise ValueError("more than a chunk")
    salt, key, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapped = ChaCha20Poly1305(await _scrypt(passphrase, salt, COST)).encrypt(_ONCE, key, None)
    header = b"%s\n-> scrypt %s %d\n%s\n---" % (_VERSION, _text(salt), COST, _text(wrapped))
    chunk = ChaCha20Poly1305(derived(key, salt=nonce, info=b"payload")).encrypt(_ONLY, content, None)
    return header + b" " + _text(_mac(key, header)) + b"\n" + nonce + chunk


async def opened(file: bytes, passphrase: str) -> bytes:
    """Raises BundleError. No key is derived for a file of another form, or of a larger cost."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if (found := _FILE.fullmatch(file)) is None:
        raise BundleError(BundleFault.decryption, NOT_OURS)
    cost = int(found["cost"])
    if cost > MOST_COST:
        raise BundleError(BundleFault.decryption, TOO_COSTLY.format(_mebibytes(cost), _mebibytes(MOST_COST)))
    wrapping = await _scrypt(passphrase, _bytes(found["salt"]), cost)
    try:
        key = ChaCha20Poly1305(wrapping).decrypt(_ONCE, _bytes(found["key"]), None)
        if not hmac.compare_digest(_mac(key, found["header"]), _bytes(found["mac"])):
            raise InvalidTag
        return ChaCha20Poly1305(derived(key, salt=found["nonce"], info=b"payload")).decrypt(
            _ONLY, found["content"], None
        )
    except InvalidTag:
        raise BundleError(BundleFault.decryption, WRONG_KEY) from None


def _mac(key: bytes, header: bytes) -> bytes:
    return hmac.digest(derived(key, salt=b"", info=b"header"), header, "sha256")


def _text(content: bytes) -> bytes:
    return base64.b64encode(content).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def _mebibytes(cost: int) -> int:
    return 1 << max(cost - 10, 0)


async def _scrypt(passphrase: str, salt: bytes, cost: int) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _CHILD,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    label = _VERSION + b"/scrypt" + salt
    try:
        told = f"{cost} {label.hex()} {passphrase.encode().hex()}".encode()
        answer, _ = await asyncio.wait_for(child.communicate(told), PATIENCE)
    except BaseException:
        if child.returncode is None:
            child.kill()
            await child.wait()
        raise
    if child.returncode:
        raise BundleError(BundleFault.decryption, NO_MEMORY)
    return bytes.fromhex(answer.decode())
