"""Which licenses a skill may come under, and how they are recognised (contract: skills, skill_md.license)."""

import re
from typing import Final

ALLOWED: Final = (
    "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "CC0-1.0", "MPL-2.0", "Unlicense", "0BSD",
)  # fmt: skip
WORDED: Final = (
    (re.compile(r"APACHE[ -]2", re.IGNORECASE), "Apache-2.0"),
    (re.compile(r"\A(?:The )?MIT License\Z", re.IGNORECASE), "MIT"),
    (re.compile(r"\ABSD 2", re.IGNORECASE), "BSD-2-Clause"),
    (re.compile(r"\ABSD(?:\Z| 3)", re.IGNORECASE), "BSD-3-Clause"),
    (re.compile(r"\AMozilla Public License 2", re.IGNORECASE), "MPL-2.0"),
)


def spdx_of(text: str | None) -> str | None:
    """The identifier of an allowed license; None where none is named, or another."""
    if not text:
        return None
    lowered = text.strip().lower()
    for id in ALLOWED:
        if lowered == id.lower():
            return id
    for id in ALLOWED:
        if lowered.startswith(id.lower()):
            return id
    return next((id for pattern, id in WORDED if pattern.search(text.strip())), None)
