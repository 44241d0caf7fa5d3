"""Content that is refused in a memory, which agents read: attempts to instruct them, and secrets."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from resolvers.rules.content_scan import Category, scan
from resolvers.rules.redaction import Redactor

SENDS: Final = "send_secrets"


class Threat(StrEnum):
    """The category of an attempt to manipulate an agent (contract: memory.import)."""

    prompt_injection = "prompt_injection"
    exfiltration = "exfiltration"
    persistence = "persistence"
    invisible_unicode = "invisible_unicode"
    base64_obfuscation = "base64_obfuscation"


CATEGORIES: Final = {
    Category.prompt_injection: Threat.prompt_injection,
    Category.invisible_characters: Threat.invisible_unicode,
    Category.look_alike_letters: Threat.invisible_unicode,
    Category.encoded_text: Threat.base64_obfuscation,
    Category.too_long: Threat.prompt_injection,
}


@dataclass(frozen=True, slots=True)
class Near:
    """Two patterns of which the second begins in the same line, at most `gap` characters after the first."""

    threat: Threat
    first: re.Pattern[str]
    second: re.Pattern[str]
    gap: int

    def found_in(self, text: str) -> bool:
        """In a time that is linear in the text: one pattern with a gap in it tries each end of the gap."""
        ends = [found.end() for found in self.first.finditer(text)]
        for found in self.second.finditer(text) if ends else ():
            last = bisect_right(ends, found.start()) - 1
            between = slice(ends[last], found.start())
            if last >= 0 and between.stop - between.start <= self.gap and "\n" not in text[between]:
                return True
        return False


@cache
def _attempts() -> tuple[Near, ...]:
    sends, pipes = (re.compile(rf"{before}\b(?:curl|wget|nc|ncat)\b", re.IGNORECASE) for before in ("", r"\|\s{0,9}"))
    secret = re.compile(
        r"\$\{?\w{0,40}(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)\w{0,40}|\.env\b|\bprintenv\b|/etc/(?:passwd|shadow)",
        re.IGNORECASE,
    )
    comment = re.compile("<!--")
    instructs = re.compile(r"\b(?:ignore|disregard|override|system prompt|instructions?)\b", re.IGNORECASE)
    return (
        Near(Threat.prompt_injection, comment, instructs, 200),
        Near(Threat.exfiltration, sends, secret, 300),
        Near(Threat.exfiltration, secret, pipes, 300),
    )


@cache
def _persistence() -> re.Pattern[str]:
    return re.compile(
        r"\bauthorized_keys\b|\.ssh/(?:id_|config)|\bssh-(?:rsa|ed25519)\s+AAAA|\bcrontab\s+-|/etc/cron"
        r"|(?:>>|\btee\b)\s{0,9}\S{0,100}\.(?:bashrc|zshrc|profile|bash_profile)\b",
        re.IGNORECASE,
    )


def threat_in(text: str) -> Threat | None:
    """The first attempt that is found, or None."""
    found = scan(text)
    if found is not None:
        return Threat.exfiltration if found.pattern == SENDS else CATEGORIES[found.category]
    near = next((each.threat for each in _attempts() if each.found_in(text)), None)
    return Threat.persistence if near is None and _persistence().search(text) else near


def secrets_in(text: str) -> int:
    """The number of texts with the shape of a secret."""
    redactor = Redactor()
    redactor.redact(text)
    return redactor.hits
