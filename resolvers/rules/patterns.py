"""Regular expressions of users: RE2's, whose time grows with the text alone, and whose memory is bounded."""

from typing import Any, Final

MEMORY: Final = 128 << 10
"""The most bytes of a compiled expression and its state while reading. An expression that needs more does not
compile.
"""


def compiled(pattern: str) -> Any | None:
    """An object with `search(text)`; None if RE2 does not accept the pattern, or it is too large."""
    import re2  # a process without such patterns does not load it

    options = re2.Options()
    options.max_mem, options.never_capture, options.log_errors = MEMORY, True, False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None
