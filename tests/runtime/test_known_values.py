"""Known values: every form that is promised, whatever their number, in time that does not depend on it."""

import base64
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers.oversight.keeper.execution import MARK, scrubbed
from resolvers.rules.known_values import BLOCK, MOST, KnownValues, TooManyValues
from resolvers.rules.redaction import Redactor
from runtime.runs.job import Failed
from runtime.runs.known import redactor_of
from tests.every import each_of

pytestmark = pytest.mark.anyio

REDACTED = "[REDACTED:credential]"
RANDOM = random.Random(20260101)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def drawn(length: int) -> str:
    return "".join(RANDOM.choices(LETTERS, k=length))


def pem(lines: int, name: str = "CERTIFICATE") -> str:
    body = "\n".join(drawn(64) for _ in range(lines))
    return f"-----BEGIN {name}-----\n{body}\n{drawn(27)}=\n-----END {name}-----\n"


TOKEN = "tok/en+9fQ2 xLw77Zt&=?ü"
LONG = "".join(drawn(37) + mark for mark in "/+ &=~\"\\'")
KEY = pem(49, "PRIVATE KEY")
BUNDLE = "".join(pem(28) for _ in range(36))
WORST = "a" * 16000 + "b"

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "reversed": lambda v: v[::-1],
    "json": lambda v: json.dumps(v)[1:-1],
    "json without escapes": lambda v: json.dumps(v, ensure_ascii=False)[1:-1],
    "json in json": lambda v: json.dumps(json.dumps(v))[1:-1].removeprefix('\\"').removesuffix('\\"'),
    "quote": quote,
    "quote all": lambda v: quote(v, safe=""),
    "quote_plus": quote_plus,
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
    "base64": lambda v: base64.b64encode(v.encode()).decode().rstrip("="),
    "base64url": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
}


@pytest.mark.slow
@each_of("form", FORMS)
@each_of("value", [TOKEN, LONG, KEY.strip(), WORST], ids=["token", "long", "key", "worst"])
def test_a_value_is_taken_out_in_every_form(form: str, value: str) -> None:
    shown = FORMS[form](value)
    assert Redactor([value]).redact(f"say {shown} please") == f"say {REDACTED} please"
    stream = Redactor([value]).stream()
    cut = [stream.feed(f"say {shown} please"[at : at + 7]) for at in range(0, len(shown) + 11, 7)]
    assert "".join((*cut, stream.flush())) == f"say {REDACTED} please"


@each_of("encode", [base64.b64encode, base64.urlsafe_b64encode])
@each_of("before", ["", "x", "xy", "xyz", "user:"])
@each_of("after", ["", "z", "zz", "\n"])
def test_base64_of_a_longer_text_shows_nothing_of_it(encode: Callable[[bytes], bytes], before: str, after: str) -> None:
    for value in (TOKEN, LONG):
        shown = Redactor([value]).redact(encode(f"{before}{value}{after}".encode()).decode())
        assert REDACTED in shown
        left = shown.replace(REDACTED, "")
        assert len(left) <= (len(before) + len(after)) * 4 // 3 + 8, left


@pytest.mark.slow
@each_of("form", FORMS)
def test_each_line_of_a_bundle_is_known(form: str) -> None:
    lines = [line for line in BUNDLE.splitlines() if not line.startswith("-----")]
    redactor = Redactor([BUNDLE])
    for line in RANDOM.sample(lines, 25):
        assert redactor.redact(f"a {FORMS[form](line)} b") == f"a {REDACTED} b"


def test_a_bundle_is_taken_out_as_a_whole() -> None:
    assert Redactor([BUNDLE]).redact(f"a {BUNDLE} b").startswith(f"a {REDACTED}")
    left = Redactor([BUNDLE]).redact(BUNDLE.encode().hex() + " " + base64.b64encode(BUNDLE.encode()).decode())
    assert len(left.replace(REDACTED, "")) < len(BUNDLE) // 5  # what separates its lines, and names them


def test_a_part_of_a_long_value_is_taken_out() -> None:
    assert Redactor([KEY]).redact(f"head: {KEY[:1000]}").count(REDACTED) == 1
    assert KEY[200:260] not in Redactor([KEY]).redact(KEY[:1000])


def test_what_is_like_a_value_is_left_alone() -> None:
    redactor = Redactor([TOKEN, LONG, KEY, BUNDLE])
    for text in (TOKEN[:-1], LONG[:40], drawn(20_000), " " * 500, "-----BEGIN CERTIFICATE-----", "漢字" * 400):
        assert redactor.redact(text) == text
    assert redactor.hits == 0


@settings(max_examples=200, deadline=None)
@given(
    known=st.lists(st.text("ab\n ", min_size=4, max_size=200), min_size=1, max_size=4),
    parts=st.lists(st.one_of(st.integers(0, 3), st.text("ab ", max_size=12)), max_size=8),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
@example(known=["a" * 100 + "b"], parts=["a" * 150, 0, "a" * 63], sizes=[1])
def test_the_cuts_of_a_stream_do_not_matter(known: list[str], parts: list[int | str], sizes: list[int]) -> None:
    text = "".join(known[part % len(known)] if isinstance(part, int) else part for part in parts)
    stream, shown, at, turn = Redactor(known).stream(), "", 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        shown += stream.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    assert shown + stream.flush() == Redactor(known).redact(text)


def test_a_short_value_behind_what_may_become_a_long_one_is_taken_out() -> None:
    for begun in range(1, 64):
        stream = Redactor([LONG, "hunter2"]).stream()
        shown = [stream.feed(f"{LONG[:begun]}hunter2"), stream.feed(" and"), stream.feed(" so on"), stream.flush()]
        assert "".join(shown) == f"{LONG[:begun]}{REDACTED} and so on"


def test_halves_of_surrogate_pairs_are_no_error() -> None:
    assert Redactor(["swordfish\ud800", LONG + "\udfff"]).redact("\ud83d swordfish\ud800") == f"\ud83d {REDACTED}"


# ---- time ------------------------------------------------------------------------------------------------------------


@contextmanager
def heartbeats() -> Iterator[list[float]]:
    """The longest time that another thread got no turn."""
    worst, over = [0.0], threading.Event()

    def beat() -> None:
        last = time.perf_counter()
        while not over.wait(0.002):
            now = time.perf_counter()
            worst[0], last = max(worst[0], now - last), now

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield worst
    finally:
        over.set()
        thread.join()


def estate() -> list[str]:
    worst = [WORST, *("a" * (16000 - number) + "b" * number for number in (2, 3, 4))]
    bundles = ["".join(pem(28) for _ in range(34)) for _ in range(10)]
    return [*worst, *bundles, *(drawn(32) for _ in range(86))]


PART = 47_000
TEXTS = {
    "nearly one": "a" * PART,
    "words": ("The quick brown fox jumps over 13 lazy dogs: the key idea.\n" * 800)[:PART],
    "random": drawn(PART),
    "json": ('{"id": 12345, "url": "https://example.com/a/b?c=d", "token_count": 7},\n' * 700)[:PART],
    "letters": "Die schöne Welt 漢字 " * (PART // 19),
}


def hard(values: list[str]) -> dict[str, str]:
    """Texts of what is struck out, and of what only begins like it."""
    lines = [line for value in values for line in value.splitlines() if len(line) == 64]
    begun = [line[: RANDOM.randint(9, 63)] for line in lines[:1500]]
    dense = ("key=", "-eyJ", "sk-", "-----BEGIN ", "-----BEGIN CERTIFICATE-----", '"key": "name", ', "ab://x:")
    return {
        "one bundle": values[4][:PART],
        "lines": "\n".join(RANDOM.sample(lines, PART // 65)),
        "hexadecimal": values[4].encode().hex()[:PART],
        "beginnings of lines": " ".join(begun)[:PART],
        "nearly a block": (("a" * 63 + "c") * PART)[:PART],
        "tokens": "".join(RANDOM.choices(values[14:], k=PART // 32)),
        **{unit: (unit * PART)[:PART] for unit in dense},
    }


@pytest.mark.slow
def test_a_hundred_values_cost_little_and_hold_nobody_up() -> None:
    values = estate()
    assert len(values) == 100
    began = time.process_time()
    with heartbeats() as worst:
        known = KnownValues(values)
    assert worst[0] < 0.25, "the automaton takes too long in one piece"
    assert time.process_time() - began < 10
    for name, text in (TEXTS | hard(values)).items():
        began = time.process_time()
        for _ in range(10_000_000 // 5 // PART):
            Redactor(known).redact(text)
        assert time.process_time() - began < 0.8, name  # 2 MB


def test_what_was_slow_is_not() -> None:
    known = KnownValues([WORST, *("a" * (16000 - number) + "b" for number in range(1, 4)), BUNDLE])
    began = time.process_time()
    for text in TEXTS.values():
        Redactor(known).redact(text)
    assert time.process_time() - began < 0.4
    began, stream = time.process_time(), Redactor(known).stream()
    for at in range(0, PART, 1000):
        stream.feed(TEXTS["nearly one"][at : at + 1000])
    assert time.process_time() - began < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("secret", [WORST, BUNDLE, "ab" * 8000 + "c"], ids=["worst", "bundle", "pairs"])
def test_the_output_of_a_command_is_scrubbed_in_linear_time(secret: str) -> None:
    began = time.process_time()
    for unit in ("a", "ab ", "61", "a\n"):
        scrubbed(unit * ((512 << 10) // len(unit)), secret)
    assert time.process_time() - began < 8
    assert scrubbed(f"it is {secret.strip().upper()}", secret) == f"it is {MARK}" or secret is BUNDLE


# ---- of a run --------------------------------------------------------------------------------------------------------


async def test_a_set_is_made_ready_once() -> None:
    first, second = await redactor_of([TOKEN, KEY]), await redactor_of([KEY, TOKEN])
    assert first.known is second.known
    assert first is not second
    assert (await redactor_of([TOKEN])).known is not first.known


async def test_more_than_can_be_looked_for_is_no_run() -> None:
    values = [drawn(1000) for _ in range(MOST // 1000 + 1)]
    with pytest.raises(TooManyValues):
        KnownValues(values)
    with pytest.raises(Failed, match="more than 1 MiB"):
        await redactor_of(values)


def test_a_block_is_as_long_as_a_line_of_a_key() -> None:
    assert BLOCK == 64
