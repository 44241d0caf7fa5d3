"""Which intents need no model: plain words for a credential of the lowest level (contract: gatekeeper.order, 1).

A marker only says that a model has to look. What it looks for is written in many ways: the text is normalised first, so
that letters of other alphabets that look alike, invisible characters and odd spaces hide nothing.
"""

import re
import unicodedata
from typing import Final

SHORTEST, DISTINCT = 10, 5
INJECTIONS: Final = (
    "ignore previous", "ignore all previous", "disregard previous", "disregard all", "forget previous", "forget all",
    "[system]", "<system>", "system:", "system prompt", "you are now", "you are no longer", "act as", "decision:",
    "decision =", 'decision":', '"decision"', "override", "new instructions", "above instructions",
)  # fmt: skip
"""Marks of a text that talks to the model instead of saying what is wanted (contract: injection_markers)."""
EXFILTRATIONS: Final = (
    "base64", "base32", "hexdump", "xxd", "rot13", "urlencode", "url-encode", "printenv", "environ", "/proc/",
    "env var", "exfil", "nslookup", "webhook.site", "requestbin", "ngrok", "pastebin", ".onion", "netcat", "dns query",
    "dns lookup",
    "print the", "show the value", "show me the", "reveal", "echo $", "echo the", "dump", "write it to", "save it to",
    "copy it to", "send it to", "post it to", "upload it", "email it", "mail it", "paste it", "share it", "forward it",
    "the value of", "raw value", "plain text", "plaintext", "another agent", "other agent", "other agents",
    "someone else", "somebody else", "all credentials", "all secrets", "every credential", "every secret", "../",
)  # fmt: skip
"""Marks of a text that wants the value itself, or somebody else's."""
_HOMOGLYPHS: Final = str.maketrans(
    "аеорсухіјѕԁһӏνμοαεικτρ",
    "aeopcyxijsdhlvmoaeiktp",
)
_SPACES: Final = re.compile(r"\s+")


def normalised(text: str) -> str:
    """As it reads: compatible forms taken for plain ones, accents and what cannot be seen left out, one space between
    words, in lower case.
    """
    folded = unicodedata.normalize("NFKD", text)
    seen = "".join(each for each in folded if unicodedata.category(each) not in ("Cf", "Mn", "Me"))
    return _SPACES.sub(" ", seen.casefold().translate(_HOMOGLYPHS))


def is_plausible(intent: str) -> bool:
    """Whether an intent says something, and nothing that a model has to look at."""
    text = intent.strip()
    if len(text) < SHORTEST or len({each for each in text if not each.isspace()}) < DISTINCT:
        return False
    read = normalised(text)
    if any(mark in read for mark in (*INJECTIONS, *EXFILTRATIONS)):
        return False
    return not ("{" in read and "}" in read)
