"""What a command has said, without the secret that it was given: in any of its forms, in any letter case."""

import base64
import re
from typing import Final

from resolvers.rules.redaction import Redactor, forms_of, mark

MARK: Final = mark("keeper-secret")
SHORTEST: Final = 4  # of a form other than the secret itself
GAP: Final = r"[\s:\\x,]*"  # between two bytes of a dump


def scrubbed(text: str, secret: str) -> str:
    return Redactor((secret,)).redact(_pattern(secret).sub(MARK, text))


def longest_form(secret: str) -> int:
    return max(map(len, _forms(secret)), default=0)


def _pattern(secret: str) -> re.Pattern[str]:
    """The longest forms first; then dumps of it, which put something between its letters."""
    plain = [re.escape(form) for form in sorted(_forms(secret), key=lambda form: (-len(form), form))]
    dumps = list[str]()
    if len(secret) >= SHORTEST:
        pairs = re.findall("..", secret.encode(errors="surrogatepass").hex())
        dumps = [r"\s*".join(map(re.escape, secret)), r"\s*".join(map(re.escape, secret[::-1])), GAP.join(pairs)]
    return re.compile("|".join((*plain, *dumps)), re.IGNORECASE)


def _forms(secret: str) -> set[str]:
    return {form for form in forms_of(secret) | _within_base64(secret) if len(form) >= SHORTEST} | {secret}


def _within_base64(secret: str) -> set[str]:
    """Of a text that the secret stands in: what does not depend on its neighbours, at each of three places."""
    found = set[str]()
    coded = secret.encode(errors="surrogatepass")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + coded).decode().rstrip("=")
        first = -(-before * 4 // 3)
        last = (before + len(coded)) * 8 // 6
        inner = whole[first:last]
        if len(inner) >= 2 * SHORTEST:
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found
