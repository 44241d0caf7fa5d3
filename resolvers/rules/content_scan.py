"""Text that tries to manipulate an agent: from users who queue it, and from its tools (contract: chats.steer).

The scan finds common attacks and proves nothing: English phrases, tokens of chat templates, invisible characters,
letters that only look Latin, and base64 that hides any of these. Every function here is total and takes time linear in
the text, whose length is limited: a longer text is not scanned, and its length is the finding. The same holds for a
text that grows when it is normalised (some letters stand for 18).
"""

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class Category(StrEnum):
    prompt_injection = "prompt_injection"
    invisible_characters = "invisible_characters"
    look_alike_letters = "look_alike_letters"
    encoded_text = "encoded_text"
    too_long = "too_long"


@dataclass(frozen=True, slots=True)
class Finding:
    """The kind of attack, and the name of the rule that found it."""

    category: Category
    pattern: str


IGNORE = r"(?:ignore|disregard|forget|override|bypass|discard|neglect)"
OLD = r"(?:previous|prior|earlier|preceding|above|former|system|initial|original|existing|developer)"
RULES = r"(?:instructions?|prompts?|rules?|directives?|guidelines?|constraints?|restrictions?)"
SECRETS = r"(?:api keys?|access keys?|private keys?|credentials?|secrets?|passwords?|tokens?|environment variables?)"
UNBOUND = r"(?:dan|jailbroken|unrestricted|unfiltered|uncensored)"

# Of words: case folded, punctuation and spaces one space. Narrow on purpose: users say "ignore my last message".
PHRASES = {
    "ignore_instructions": rf"{IGNORE} (?:\w+ ){{0,4}}{OLD} (?:\w+ ){{0,2}}{RULES}",
    "ignore_everything": (
        rf"{IGNORE} (?:everything|anything|all) (?:\w+ ){{0,6}}(?:above|before this|so far|up to now|told you)"
    ),
    "ignore_your_rules": rf"{IGNORE} (?:all )?(?:of )?your (?:\w+ ){{0,2}}(?:{RULES}|training|programming|safety)",
    "reveal_prompt": (
        r"(?:reveal|show|print|repeat|output|display|leak|disclose|tell|give) (?:me |us )?"
        r"(?:your (?:\w+ ){0,3}|the (?:\w+ ){0,2}(?:system|hidden|secret|developer) )(?:prompts?|instructions?)"
    ),
    "unbound_role": (
        rf"you are (?:now (?:\w+ ){{0,2}}{UNBOUND}"
        r"|no longer (?:\w+ ){0,2}(?:bound|restricted|limited|filtered|constrained))"
    ),
    "forbidden_mode": (
        rf"(?:you are (?:now )?in (?:developer|debug|god|admin|jailbreak|{UNBOUND})"
        rf"|(?:enter|enable|activate) (?:god|jailbreak|{UNBOUND})) mode"
    ),
    "no_rules": (
        r"(?:act|behave|respond|answer|pretend|imagine) (?:as if |as though |that |like )?"
        rf"you (?:have|had|are under|follow) no (?:\w+ )?{RULES}"
    ),
    "hide_from_user": (
        r"(?:do not|don t|dont|never) (?:"
        r"(?:tell|inform|alert|notify|let) the user (?:know )?(?:about |of )?(?:this|that|it|anything|what you)"
        r"|(?:mention|reveal|disclose) (?:this|that|it) to the user)"
    ),
    "send_secrets": (
        r"(?:send|post|upload|forward|exfiltrate|transmit|leak|email) (?:all|any|every|each) "
        rf"(?:\w+ ){{0,4}}{SECRETS} (?:\w+ ){{0,5}}"
        r"to (?:https?|www|this url|the following|an? (?:external|remote))"
    ),
}


@cache
def _phrases() -> dict[str, re.Pattern[str]]:
    """Compiled with the first text that is looked at: 8 ms that a start does without."""
    return {name: re.compile(rf"\b(?:{text})\b") for name, text in PHRASES.items()}


MARKERS = re.compile(
    r"<\|\s*(?:im_start|im_end|system|user|assistant"
    r"|endoftext|begin_of_text|end_of_text|start_header_id|end_header_id|eot_id)\s*\|>"
    r"|\[/?INST\]|<</?SYS>>",
    re.IGNORECASE,
)

# Zero-width and filler characters, embeddings and overrides of direction, tags, variation selectors beyond emoji.
INVISIBLE = re.compile(
    "[\u115f\u1160\u180e\u200b-\u200d\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
# Of England, Scotland, Wales.
FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
JOINERS = "\u200c\u200d"
JOINED_SCRIPTS = (
    "ARABIC", "SYRIAC", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU",
    "KANNADA", "MALAYALAM", "SINHALA",
)  # fmt: skip

# Cyrillic and Greek letters that a reader takes for the Latin one below each.
LOOK_ALIKES = str.maketrans(
    "аеіїјкорсухѕһԁԛԝѵАВЕІЈКМНОРСТУХЅԌԚԜοανιρυκτΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeiijkopcyxshdqwvABEIJKMHOPCTYXSGQWoavipuktABEZHIKMNOPTYX",
)
WORD = re.compile(r"[^\W\d_]+")
NO_WORD = re.compile(r"[\W_]+")
ENCODED = re.compile(r"[A-Za-z0-9+/_\-=\r\n]{24,}")
DEPTH = 2  # base64 in base64
LONGEST = 50_000  # characters: what is left of the longest result of a tool, and a mark that it was cut
SLICE = 256  # characters that are normalised before the length is looked at again
GROWTH = 2  # times the length of the text, and a slice for short ones


def scan(text: str) -> Finding | None:
    """The first finding, or None."""
    if len(text) > LONGEST:
        return Finding(Category.too_long, "characters")
    if _grows(text):
        return Finding(Category.too_long, "normalised")
    if _hides_characters(text):
        return Finding(Category.invisible_characters, "unseen")
    if any(_mixes_scripts(word) for word in WORD.findall(text)):
        return Finding(Category.look_alike_letters, "mixed_word")
    phrase = _phrase(text)
    if phrase is not None:
        return Finding(Category.prompt_injection, phrase)
    hidden = _encoded_phrase(text, DEPTH)
    return None if hidden is None else Finding(Category.encoded_text, hidden)


def _grows(text: str) -> bool:
    if text.isascii():
        return False
    room = GROWTH * len(text) + SLICE
    for piece in _pieces(text):
        room -= len(piece)
        if room < 0:
            return True
    return False


def _pieces(text: str) -> Iterator[str]:
    """In compatibility form, slice by slice: a run of combining marks is sorted in a time that grows with its square.

    Where a slice ends a mark may stand beside its letter; nothing else is lost.
    """
    for start in range(0, len(text), SLICE):
        yield unicodedata.normalize("NFKC", text[start : start + SLICE])


def _phrase(text: str) -> str | None:
    plain = text if text.isascii() else "".join(_pieces(text))
    if MARKERS.search(plain):
        return "template_token"
    words = NO_WORD.sub(" ", INVISIBLE.sub("", plain).translate(LOOK_ALIKES).casefold())
    return next((name for name, phrase in _phrases().items() if phrase.search(words)), None)


def _hides_characters(text: str) -> bool:
    if text.isascii():
        return False
    text = FLAG.sub("", text.removeprefix("\ufeff"))
    return any(text[m.start()] not in JOINERS or not _joins(text, m.start()) for m in INVISIBLE.finditer(text))


def _joins(text: str, at: int) -> bool:
    """A joiner between emoji, or beside a letter of a script that is written with it."""
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if text[at] == "\u200d" and before and after and unicodedata.category(after) == "So":
        # a picture, a skin tone, the selector of the picture's form
        return unicodedata.category(before) in ("So", "Sk", "Mn")
    return any(unicodedata.name(letter, "").startswith(JOINED_SCRIPTS) for letter in (before, after) if letter)


def _mixes_scripts(word: str) -> bool:
    """Latin letters among which every other letter is one that looks Latin."""
    if word.isascii():
        return False
    others = [letter for letter in word if not unicodedata.name(letter, "").startswith("LATIN")]
    return 0 < len(others) < len(word) and all(ord(letter) in LOOK_ALIKES for letter in others)


def _encoded_phrase(text: str, depth: int) -> str | None:
    for block in ENCODED.findall(text):
        lines = block.split()
        # words stand around it
        candidates = dict.fromkeys("".join(part) for part in (lines, lines[1:], lines[:-1], lines[1:-1]))
        # of one line both are the same text
        for hidden in dict.fromkeys((*map(_decoded, candidates), "\n".join(map(_decoded, lines)))):
            found = _phrase(hidden) or (_encoded_phrase(hidden, depth - 1) if depth > 1 else None)
            if found is not None:
                return found
    return None


def _decoded(block: str) -> str:
    """The text of base64 in either alphabet; nonsense if it is not base64."""
    letters = block.replace("=", "").translate({ord("-"): "+", ord("_"): "/"})
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="replace")
