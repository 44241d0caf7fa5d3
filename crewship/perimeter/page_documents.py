"""The GraphQL documents of the pages: they send them as text, also to a service that runs known documents alone."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache

from crewship.perimeter.pages import STATIC

_CONSTANT = re.compile(r'^const (\w+) =\s+(?:"([^"\n]*)"|`([^`]*)`|(\d+));', re.MULTILINE)
_PLACE = re.compile(r"\$\{(\w+)\}")
_DOCUMENT = re.compile(r"\s*(?:query|mutation|subscription)\b")


def documents_of(script: str) -> list[str]:
    """The constants of a script that are documents, with the constants that they name in their places."""
    constants = {name: line or lines or number for name, line, lines, number in _CONSTANT.findall(script)}

    def whole(text: str) -> str:
        return _PLACE.sub(lambda place: whole(constants[place[1]]), text)

    return [whole(text) for text in constants.values() if _DOCUMENT.match(text)]


@cache
def documents() -> Mapping[str, str]:
    """The documents by the sha256 of their text."""
    scripts = [path.read_text() for path in sorted((STATIC / "assets").glob("*.js"))]
    texts = [text for script in scripts for text in documents_of(script)]
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}
