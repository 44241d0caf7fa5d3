"""Which host a TLS client asks for. OpenSSL reads the message, as it does in servers: there is no second opinion."""

import functools
import ssl
from typing import Any

LARGEST = 32 << 10
"""Bytes of a first message; one with post-quantum keys and a ticket has 2,000."""


class _NamedServer(ssl.SSLObject):
    named: str | None = None
    complete = False


def _remember(asked: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int:
    assert isinstance(asked, _NamedServer)
    asked.named, asked.complete = name, True
    return ssl.ALERT_DESCRIPTION_ACCESS_DENIED  # the handshake ends here: another part may continue it


@functools.cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _NamedServer
    context.sni_callback = _remember
    return context


class NotTls(Exception):
    """The client does not begin as TLS does, from version 1.2 on."""


class ServerName:
    """Reads a client's first bytes until it has named its host."""

    def __init__(self) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._asked: Any = _context().wrap_bio(self._in, self._out, server_side=True)
        self._size = 0

    def feed(self, data: bytes) -> bool:
        """Returns true if the first message is complete. Raises NotTls."""
        self._size += len(data)
        if self._size > LARGEST:
            raise NotTls
        self._in.write(data)
        try:
            self._asked.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            if not self._asked.complete:
                raise NotTls from None
        return True

    @property
    def name(self) -> str | None:
        """In lower case, without a last dot; None where the client has named none."""
        named: str | None = self._asked.named
        return None if named is None else named.lower().removesuffix(".")

    def refusal(self) -> bytes:
        """The alert by which a client learns that it was refused."""
        return self._out.read()
