"""Statements that are sent ahead of another one, in the same round trip: Bind and Execute of what is prepared.

Sync comes with the statement behind them (PostgreSQL, "Message Flow", Pipelining). None of them gives a row, which
would be taken for one of that statement's.
"""

BEGIN, WITHIN = "crewship_begin", "crewship_within"  # names of prepared statements
SCOPE = "SELECT FROM (SELECT set_config('crewship.workspaces', $1, true) AS scope OFFSET 0) AS here WHERE scope IS NULL"
"""Until the end of the transaction."""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


_EXECUTE = _message(b"E", bytes(5))
BEGINS = _message(b"B", b"\0%b\0" % BEGIN.encode() + bytes(6)) + _EXECUTE


def scopes(scope: str) -> bytes:
    """The parameter is sent as text, which 0 formats mean."""
    value = scope.encode()
    parameters = bytes(2) + (1).to_bytes(2, "big") + len(value).to_bytes(4, "big") + value
    return _message(b"B", b"\0%b\0" % WITHIN.encode() + parameters + bytes(2)) + _EXECUTE
