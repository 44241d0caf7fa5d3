"""Content that is refused in a memory, which agents read: attempts to instruct them, and secrets."""

import re
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


@cache
def _lines() -> dict[Threat, re.Pattern[str]]:
    """Patterns within one line each, whose parts between are bounded: their time is linear in the text."""
    secret = (
        r"\$\{?\w{0,40}(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)\w{0,40}|\.env\b|\bprintenv\b|/etc/(?:passwd|shadow)"
    )
    sends = r"\b(?:curl|wget|nc|ncat)\b"
    return {
        Threat.prompt_injection: re.compile(
            r"<!--.{0,200}?\b(?:ignore|disregard|override|system prompt|instructions?)\b", re.IGNORECASE
        ),
        Threat.exfiltration: re.compile(
            rf"{sends}[^\n]{{0,300}}(?:{secret})|(?:{secret})[^\n]{{0,300}}\|\s{{0,9}}{sends}", re.IGNORECASE
        ),
        Threat.persistence: re.compile(
            r"\bauthorized_keys\b|\.ssh/(?:id_|config)|\bssh-(?:rsa|ed25519)\s+AAAA|\bcrontab\s+-|/etc/cron"
            r"|(?:>>|\btee\b)\s{0,9}\S{0,100}\.(?:bashrc|zshrc|profile|bash_profile)\b",
            re.IGNORECASE,
        ),
    }


def threat_in(text: str) -> Threat | None:
    """The first attempt that is found, or None."""
    found = scan(text)
    if found is not None:
        return Threat.exfiltration if found.pattern == SENDS else CATEGORIES[found.category]
    return next((threat for threat, pattern in _lines().items() if pattern.search(text)), None)


def secrets_in(text: str) -> int:
    """The number of texts with the shape of a secret."""
    redactor = Redactor()
    redactor.redact(text)
    return redactor.hits
