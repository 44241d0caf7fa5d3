"""Statements that are sent ahead of another one, in the same round trip: Bind and Execute of what is prepared.

Sync comes with the statement behind them (PostgreSQL, "Message Flow", Pipelining). None of them gives a row, which
would be taken for one of that statement's.
"""

BEGIN, WITHIN = "crewship_begin", "crewship_within"  # names of prepared statements
SCOPE = """
    SELECT FROM (
        SELECT set_config('crewship.workspaces', $1, true) || set_config('crewship.principal', $2, true) AS scope
        OFFSET 0
    ) AS here WHERE scope IS NULL
"""
"""Until the end of the transaction: what no session keeps, no other client of a pooler finds."""
CLOSES = "SELECT; SELECT"
"""Ends the transaction of a scope that nothing followed: a text of several statements does, a single one does not."""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


_EXECUTE = _message(b"E", bytes(5))
BEGINS = _message(b"B", b"\0%b\0" % BEGIN.encode() + bytes(6)) + _EXECUTE


def scopes(*values: str) -> bytes:
    """The parameters are sent as text, which 0 formats mean."""
    sent = b"".join([len(value).to_bytes(4, "big") + value for value in map(str.encode, values)])
    parameters = bytes(2) + len(values).to_bytes(2, "big") + sent
    return _message(b"B", b"\0%b\0" % WITHIN.encode() + parameters + bytes(2)) + _EXECUTE
