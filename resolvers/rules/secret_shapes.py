"""Secrets whose values are unknown, recognised by their shape: keys of vendors, private keys, tokens, and values with
telling names.

A shape is recognised within REACH characters of its start, and continues by a rule of its own (`Found.rest`), so that
text can be judged while it arrives (redaction.py beside this). Everything that can fail is bounded: the time is linear
in the text. shape_starts.py beside this finds candidates.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

REACH: Final = 512
CONTEXT: Final = 8  # characters before a text that decide whether a secret may begin in it
LONGEST_VALUE: Final = 256

# Where a token may begin: after no letter or digit, or what only looks like one: \n in JSON, a terminal's colour, %3D.
BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=\[\dm)|(?<=\[\d\dm)|(?<=;\dm)|(?<=;\d\dm)|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "api_key": (
        r"sk-[\w-]{20}",  # OpenAI, Anthropic, OpenRouter and more
        r"AIza[\w-]{30}",
        r"(?:gsk|xai|pplx|nvapi|lin_api|ntn|secret|sbp|tvly)[_-][A-Za-z0-9]{24}",
        r"SG\.[\w-]{16,64}\.[\w-]{16}",
        r"re_[A-Za-z0-9]{8,32}_[A-Za-z0-9]{16}",
        r"[srp]k_(?:live|test)_[A-Za-z0-9]{16}",
        r"whsec_[\w+/=-]{16}",
        r"shp(?:at|ca|pa|ss)_[A-Za-z0-9]{24}",
        r"SK[0-9a-f]{32}",
        r"dapi[0-9a-f]{32}",
    ),
    "access_token": (
        r"gh[pousr]_[A-Za-z0-9]{20}",
        r"github_pat_\w{22}",
        r"gl(?:pat|ptt|dt|rt|cbt|soat)-[\w-]{20}",
        r"xox[abeoprs]-[A-Za-z0-9-]{10}",
        r"xapp-[A-Za-z0-9-]{20}",
        r"npm_[A-Za-z0-9]{30}",
        r"pypi-[\w-]{40}",
        r"hf_[A-Za-z0-9]{30}",
        r"dckr_[po]at_[\w-]{20}",
        r"do[oprs]_v1_[0-9a-f]{40}",
        r"hv[sbr]\.[\w-]{24}",
        r"\d{8,10}:AA[\w-]{32}",  # Telegram
        r"crewship_(?:cli|admin)_[\w-]{16}",
        r"hooks\.slack\.com/services/[A-Za-z0-9/]{20}",
        r"discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20}",
    ),
    "cloud_key": (
        r"A(?:KIA|SIA|ROA|IDA|BIA|CCA)[A-Z2-7]{16}",
        r"ya29\.[\w-]{20}",
        r"GOCSPX-[\w-]{20}",
        r"AGE-SECRET-KEY-1[A-Za-z0-9]{40}",
    ),
    "jwt": (r"e[yw][\w-]{15,400}\.e[yw][\w-]{8}",),
}
PEM = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----"

PASSWORD = r"password|passwd|passphrase|passwort|pwd"
SECRET = r"key|secret|token|credentials?|authorization"
SPACE = r"[ \t]{0,4}"
QUOTE = r"(?:\\{0,3}[\"'`])?"  # around a name; escaped where JSON is inside JSON
EQUALS = r"(?::=|=>|==?|:)"
_LABEL = rf"(?i:(?:{PASSWORD}|{SECRET})[A-Za-z0-9_]{{0,16}}){QUOTE}{SPACE}"
HEADER = rf"(?i:authorization){QUOTE}{SPACE}[:=]{SPACE}{QUOTE}"
SCHEME = r"(?i:bearer|basic|token|apikey|negotiate|digest)"
URL = r"[A-Za-z][A-Za-z0-9+.-]{1,20}://"

# Characters of a value, by how it was opened.
BARE = r"[^\s\"'`,;&]"
ESCAPED = r"[^\"'`\\\n]"
DOUBLE, SINGLE, BACK = (rf"(?:[^{quote}\\\n]|\\.)" for quote in "\"'`")
BEARER = r"[A-Za-z0-9._~+/=-]"

SHAPES: Final = re.compile(
    "|".join(
        (
            rf"(?P<private_key>{PEM})",
            BEGIN + "(?:" + "|".join(rf"(?P<{kind}>{'|'.join(shapes)})" for kind, shapes in KINDS.items()) + ")",
            rf"{HEADER}{SCHEME}[ \t]{{1,4}}(?P<header>{BARE}{{6,{LONGEST_VALUE}}})",
            rf"{BEGIN}(?i:bearer)[ \t]{{1,4}}(?P<bearer>{BEARER}{{16,{LONGEST_VALUE}}})",
            rf"{BEGIN}{URL}[^\s/:@\"'`]{{0,100}}:(?P<url>[^\s/@\"'`]{{1,{LONGEST_VALUE}}})(?=@)",
            rf"(?i:(?P<password_name>{PASSWORD})|{SECRET})[A-Za-z0-9_]{{0,16}}{QUOTE}{SPACE}(?P<equals>{EQUALS}){SPACE}(?:"
            rf"\\{{1,3}}[\"'`](?P<escaped>{ESCAPED}{{4,{LONGEST_VALUE}}})|\"(?P<double>{DOUBLE}{{4,{LONGEST_VALUE}}})|'(?P<single>{SINGLE}{{4,{LONGEST_VALUE}}})"
            rf"|`(?P<back>{BACK}{{4,{LONGEST_VALUE}}})|(?P<bare>{BARE}{{4,{LONGEST_VALUE}}}))",
        )
    ),
    re.ASCII,
)

_VALUES: Final = ("header", "bearer", "url", "escaped", "double", "single", "back", "bare")
_RESTS: Final = {
    group: re.compile(rest, re.ASCII)
    for group, rest in {
        "private_key": r"(?:[A-Za-z0-9+/=\s\\:,]|-(?!----END))*(?:-----END [A-Z0-9 ]{0,60}-----)?",
        **dict.fromkeys(("api_key", "access_token", "cloud_key"), r"[\w+/=-]*"),
        "jwt": r"[\w.-]*",
        **dict.fromkeys(("header", "bare"), f"{BARE}*"),
        "bearer": f"{BEARER}*",
        "url": "",
        "escaped": f"{ESCAPED}*",
        "double": f"{DOUBLE}*",
        "single": f"{SINGLE}*",
        "back": f"{BACK}*",
    }.items()
}
_PARTIAL_END = re.compile(r"(?:-{1,5}|-----E|-----EN|-----END[A-Z0-9 ]{0,61}-{0,5})\Z", re.ASCII)

# Shapes that may go on behind the end of a text, as far as they are longer than its last run of TOKEN characters.
TOKEN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.~+/=:@%\\"
_OPEN = tuple(
    re.compile(rf"{beginning}\Z", re.ASCII)
    for beginning in (
        rf"{_LABEL}(?:{EQUALS}{SPACE}(?:\\{{0,3}}(?:\"{DOUBLE}*|'{SINGLE}*|`{BACK}*)?\\?|{BARE}*)?)?",
        rf"{HEADER}(?:[A-Za-z]{{1,12}}(?:[ \t]{{1,4}}{BARE}*)?)?",
        rf"(?i:bearer)[ \t]{{0,4}}{BEARER}*",
        rf"{URL}[^\s/@\"'`]*",
        r"-----BEGIN[A-Z0-9 ]{0,75}-{0,5}",
    )
)


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret from `start` to `end` of a text, if nothing follows. `again`: from where to ask `rest` if more does."""

    start: int
    end: int
    kind: str
    rest: re.Pattern[str]
    again: int | None


def judge(match: re.Match[str]) -> FoundSecret | None:
    """The secret of a match of SHAPES, or None if its value is not a secret."""
    group = match.lastgroup or ""
    value = match[group]
    if group not in _VALUES:
        kind: str | None = group
    elif group in ("header", "url"):
        kind = None if _PLACEHOLDER.fullmatch(value) else {"header": "authorization", "url": "password"}[group]
    elif group == "bearer":
        kind = "authorization" if _DIGIT.search(value) else None
    elif _PATH.fullmatch(value) and names_a_place(_name_at(match), value):
        kind = None
    else:
        kind = kind_of_value(
            match["password_name"] is not None, value, bare=group == "bare", colon=match["equals"] == ":"
        )
    return (
        FoundSecret(match.start(group), *_end_of(kind, _RESTS[group], match.string, match.end(group))) if kind else None
    )


def _name_at(match: re.Match[str]) -> str:
    """The whole name that a value is given to, of which a shape is the end."""
    before = _NAME_BEFORE.search(match.string, max(0, match.start() - 64), match.start())
    name = _NAME_FROM.match(match.string, match.start())
    return (before[0] if before else "") + (name[0] if name else "")


def names_a_place(name: str, value: str) -> bool:
    """Returns true if the value is the working directory or the path of a secret: shells and programs show these
    everywhere.
    """
    return _PLACES.fullmatch(name) is not None and _PATH.fullmatch(value) is not None and not _random(value)


def _end_of(kind: str, rest: re.Pattern[str], text: str, at: int) -> tuple[int, str, re.Pattern[str], int | None]:
    end, again = goes_on(rest, text, at)
    return end, kind, rest, again


def goes_on(rest: re.Pattern[str], text: str, at: int) -> tuple[int, int | None]:
    """The end of a secret that was recognised up to `at` if nothing follows, and the place from which to look again if
    more text follows.
    """
    match = rest.match(text, at)
    end = match.end() if match else at
    if rest is _RESTS["private_key"]:
        partial = (
            _PARTIAL_END.search(text, max(at, len(text) - 80)) if end == len(text) else _PARTIAL_END.match(text, end)
        )
        if partial:
            return end, partial.start()
    return end, end if end == len(text) else None


def undecided(text: str, start: int) -> int:
    """From where on, at or after `start`, what follows this text decides on a secret; len(text) when nowhere."""
    start = max(start, len(text) - REACH)
    tail = text[start:]
    first = start + len(tail.rstrip(TOKEN))
    for beginning in _OPEN:
        if match := beginning.search(text, start, len(text)):
            first = min(first, match.start())
    return first


_TELLS_PASSWORD = re.compile(rf"(?i:{PASSWORD})", re.ASCII)
_TELLS_SECRET = re.compile(rf"(?i:{SECRET})[A-Za-z0-9_]{{0,16}}\Z", re.ASCII)
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_]+\Z", re.ASCII)
_NAME_FROM = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_PLACES = re.compile(r"(?i:(?:OLD)?PWD|\w+_(?:FILE|PATH|DIR))", re.ASCII)
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[\w.@+ -]*)+", re.ASCII)
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[]", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_OBJECTS = (
    "self.",
    "this.",
    "os.",
    "process.",
    "env.",
    "settings.",
    "config.",
    "cfg.",
    "args.",
    "ctx.",
    "request.",
    "data.",
)
_PLACEHOLDER = re.compile(
    r"\[REDACTED.*|<.*>?|\$\{.*|\$\(.*|\$\w+|\{.*\}|%\(.*|\*+|\.{3}.*|x{4,}|your[-_ ].*"
    r"|none|null|true|false|undefined|string|secretstr|optional|required",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_AUTHORIZATION = re.compile(rf"{SCHEME}[ \t]+\S{{6,}}")
_HIGH_ENTROPY = re.compile(r"[\w.~+/=:-]{16,}", re.ASCII)
_LEAST_BITS = 3.0  # a character; 16 random hexadecimal digits have 3.3 on average
_LETTER, _DIGIT = re.compile(r"[A-Za-z]"), re.compile(r"[0-9]")
_RUN = re.compile(r"[A-Za-z0-9]{12}")  # without a mark between them: paths, versions and names have shorter ones


def kind_by_name(name: str, value: str) -> str | None:
    """The kind of `value` under this name in structured data; None if it is not a secret."""
    if names_a_place(name, value):
        return None
    if name.lower().endswith("authorization") and _AUTHORIZATION.match(value):
        return "authorization"
    password = _TELLS_PASSWORD.search(name) is not None
    return kind_of_value(password, value, bare=False, colon=True) if password or _TELLS_SECRET.search(name) else None


def kind_of_value(password: bool, value: str, *, bare: bool, colon: bool) -> str | None:
    """A password may be anything but a placeholder or code; randomness distinguishes a key or token from a name.

    `bare`: without quotes. A bare word of letters after a `colon` is a type, or prose.
    """
    if len(value) < 4 or _PLACEHOLDER.fullmatch(value):
        return None
    if not password:
        return "secret" if _random(value) else None
    if bare:
        value = value.rstrip(")]}.:?!>")
        if (
            _CALL.match(value)
            or value.startswith(_OBJECTS)
            or (colon and value.isalpha())
            or _PLACEHOLDER.fullmatch(value)
        ):
            return None
    return None if _NAME.match(value) and _TELLS_PASSWORD.search(value) and not _DIGIT.search(value) else "password"


def _random(value: str) -> bool:
    if not (_HIGH_ENTROPY.fullmatch(value) and _RUN.search(value) and _DIGIT.search(value) and _LETTER.search(value)):
        return False
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values()) >= _LEAST_BITS
