"""The forms in which a known value is looked for: these, and no others (docs/secrets.md lists them)."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

SHORTEST: Final = 4
"""Characters of a form; shorter ones would be found in every other word."""
SHORTEST_LINE: Final = 16
SHORTEST_WITHIN: Final = 8
"""The shortest base64 that is searched for within that of a longer text."""
LARGE: Final = 8 << 10
"""From this length on, the lines of a value are encoded, and the whole value is not."""
_AS_IN_JSON: Final = re.compile(r"[ !#-\[\]-~]*")


def forms_of(value: str) -> set[str]:
    """The forms of a value, and of each of its longer lines."""
    found = set[str]()
    for text in texts_of(value):
        found |= coded(text)
    return found | written(value)


def texts_of(value: str) -> Iterator[str]:
    """The texts that are encoded: the value and its longer lines; for a large value its lines, with short ones
    joined.
    """
    lines = [line for line in map(str.strip, value.splitlines()) if line]
    if len(value) <= LARGE or len(lines) < 2:
        yield from {value, value.strip()}
        yield from (line for line in lines if _is_telling(line))
        return
    joined = ""
    for line in (*lines, ""):
        if 0 < len(line) < SHORTEST_LINE:
            joined = f"{joined}\n{line}" if joined else line
            if len(joined) < SHORTEST_LINE:
                continue
        if len(joined) >= SHORTEST_WITHIN:
            yield joined
        joined = ""
        if _is_telling(line):
            yield line


def _is_telling(line: str) -> bool:
    return len(line) >= SHORTEST_LINE and not line.startswith("-----")


def written(text: str) -> set[str]:
    """As it is, and within JSON, also JSON in JSON."""
    forms = {text, text.strip()}
    if _AS_IN_JSON.fullmatch(text):
        return {form for form in forms if len(form) >= SHORTEST}
    for ascii in (True, False):
        once = {json.dumps(form, ensure_ascii=ascii)[1:-1] for form in (text, text.strip())}
        forms |= once | {json.dumps(form, ensure_ascii=ascii)[1:-1] for form in once}
    return {form for form in forms if len(form) >= SHORTEST}


def coded(text: str) -> set[str]:
    """And as part of an address or a form, reversed, in hexadecimal and in base64."""
    if len(text) < SHORTEST:
        return set()
    raw = text.encode(errors="surrogatepass")
    forms = written(text) | {text[::-1], raw.hex(), raw.hex().upper()}
    forms |= {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    for form in _base64(raw):
        forms |= {form, form.replace("+", "-").replace("/", "_")}
    return forms


def _base64(raw: bytes) -> Iterator[str]:
    """The base64 of a value, also within a longer text: the part that does not depend on its neighbours, at each of
    three places.
    """
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        first, last = -(-before * 4 // 3), (before + len(raw)) * 8 // 6
        if not before:
            yield whole
        for inner in (whole[first:last], whole[first:]):
            if len(inner) >= SHORTEST_WITHIN:
                yield inner
