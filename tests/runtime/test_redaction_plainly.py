"""What is struck out is what a plain search finds, that tries everything everywhere; and what that takes."""

import random
import string
import time
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers.rules import known_values
from resolvers.rules.known_values import BLOCK, CROWD, PART, KnownValues, encodable, fold
from resolvers.rules.redaction import Redactor, mark
from resolvers.rules.secret_forms import forms_of
from resolvers.rules.secret_shapes import SHAPES, judge
from tests.every import each_of

LETTERS = string.ascii_letters + string.digits + "+/"


def drawn(length: int, seed: int = 0) -> str:
    return "".join(random.Random(f"{seed} {length}").choices(LETTERS, k=length))


# ---- as plain as can be ----------------------------------------------------------------------------------------------


def shapes_plainly(text: str) -> str:
    shown, at, start = list[str](), 0, 0
    while match := SHAPES.search(text, at):
        found = judge(match)
        if found is None:
            at = match.start() + 1
            continue
        shown += (text[start : found.start], mark(found.kind))
        at = start = found.end
    return "".join((*shown, text[start:]))


def parts_of(values: Iterable[str]) -> tuple[set[bytes], set[str]]:
    """Blocks of the long forms, and what is found as it is."""
    blocks, exact = set[bytes](), set[str]()
    for form in {encodable(form) for value in values if len(value) >= 4 for form in forms_of(value)}:
        places = [*range(0, len(form) - BLOCK + 1, BLOCK), len(form) - BLOCK] if len(form) >= BLOCK else []
        pieces = {form[at : at + BLOCK] for at in places} or {form}
        for piece in pieces:
            if places and piece.isascii():
                blocks |= {fold(piece)} if len(piece.strip()) >= 8 else set()
            elif piece.strip():
                exact.add(piece)
    return blocks, exact


def known_plainly(values: Iterable[str], text: str) -> str:
    """Pieces wherever they stand; what is left of them from the left, the longest, and behind it the next."""
    blocks, exact = parts_of(values)
    pieces = {piece.decode() for piece in KnownValues(values)._pieces}
    assert pieces <= exact
    covered, folded, whole = bytearray(len(text)), fold(text), encodable(text)
    plain = text.encode("ascii", "replace").decode()
    for at in range(len(text)):
        found = [BLOCK] if folded[at : at + BLOCK] in blocks else []
        found += [len(piece) for piece in pieces if plain.startswith(piece, at)]
        for length in found:
            covered[at : at + length] = b"\1" * length
    at, short = 0, exact - pieces
    while at < len(text):
        length = max((len(form) for form in short if whole.startswith(form, at)), default=0)
        covered[at : at + length] = b"\1" * length
        at += length or 1
    shown, hidden = list[str](), False
    for letter, is_covered in zip(text, covered, strict=True):
        if not is_covered:
            shown.append(letter)
        elif not hidden:
            shown.append(mark("credential"))
        hidden = bool(is_covered)
    return "".join(shown)


# ---- the same --------------------------------------------------------------------------------------------------------

SHAPED = [
    "password", "PGPASSWORD", "passphrase", "pwd", "key", "api_key", "token", "secret", "Authorization", "bearer ",
    "Basic ", "=", "==", ":=", "=>", ":", ": ", " ", "  ", "\t", "\v", "\n", '"', "'", "`", "\\", '\\"', "\\n", "\\\\",
    "sk-", "AKIA", "ghp_", "SG.", "re_", "xoxb-", "eyJ", "ew", ".", ".ey", "-", "://", "https", "ab", "user:", "@", "/",
    "123456789:AA", "-----BEGIN ", "RSA ", "PRIVATE KEY", "-----", "-----END ", "[1;31m", "\x1b[0m", "%3D", "&", ";",
    ",", "(", ")", "é", "漢", "\ud800", "a1B2c3D4e5F6", "0123456789abcdef", "A" * 16, "A" * 30, "Zm9vYmFyMTIz" * 4,
    "x" * 240, "x-" * 130, "x" * 402, "a1." * 90, "hunter2", "None", "${X}", "/run/x",
    "3f786850-e387-550f-dab8-36ed7e6dc881",
]  # fmt: skip


PARTS = st.lists(st.one_of(st.sampled_from(SHAPED), st.text(LETTERS + "_-. ", max_size=12)), max_size=30)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(parts=PARTS)
def test_shapes_of_many_texts_are_what_a_plain_search_finds(parts: list[str]) -> None:
    assert Redactor().redact("".join(parts)) == shapes_plainly("".join(parts))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(parts=PARTS)
@example(parts=["key", "=", "x-" * 130, "password", "=", "hunter2", "x-" * 130, "a1B2c3D4e5F6", "a1B2c3D4e5F6"])
@example(parts=["eyJ", "x" * 402, ".ey", "A" * 16])
@example(parts=["a", "eyJ", "x-" * 130, "eyJ", "A" * 16, ".ey", "A" * 16])
@example(parts=["%3D", "https", "://", "user:", "hunter2", "@"])
@example(parts=["x" * 240, "https", "://", "user:", "hunter2", "@", "https", "://", "user:", "p", "@"])
@example(parts=["key", "=", "x" * 240, " ", "sk-", "A" * 30])
def test_shapes_are_what_a_plain_search_finds(parts: list[str]) -> None:
    text = "".join(parts)
    assert Redactor().redact(text) == shapes_plainly(text)


VALUES = st.one_of(
    st.text("ab", min_size=4, max_size=200),
    st.text("ab \n", min_size=4, max_size=90),
    st.text(LETTERS, min_size=4, max_size=90),
    st.text("aé?\n", min_size=4, max_size=90),
    st.integers(16, 9000).map(drawn),
    st.tuples(st.integers(1, 300), st.sampled_from(["\n", "\r\n", " "])).map(
        lambda drawn_: drawn_[1].join(drawn(60 + number % 9, number) for number in range(drawn_[0]))
    ),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data(), known=st.lists(VALUES, min_size=1, max_size=4))
def test_known_values_in_many_texts_are_what_a_plain_search_finds(data: st.DataObject, known: list[str]) -> None:
    finds_what_a_plain_search_finds(data, known)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(data=st.data(), known=st.lists(VALUES, min_size=1, max_size=4))
@example(data=None, known=[f"sk-ant-api03-{drawn(40, number)}" for number in range(CROWD + 4)])
@example(data=None, known=["ab" * 10, "abc" * 9 + "d", "a" * 63 + "c"])
def test_known_values_are_what_a_plain_search_finds(data: st.DataObject | None, known: list[str]) -> None:
    finds_what_a_plain_search_finds(data, known)


def finds_what_a_plain_search_finds(data: st.DataObject | None, known: list[str]) -> None:
    forms = sorted({form for value in known for form in forms_of(value)})
    chosen = random.Random(str(known))
    for _ in range(3):
        parts = list[str]()
        for _ in range(data.draw(st.integers(0, 6)) if data else 6):
            form = data.draw(st.sampled_from(forms)) if data else chosen.choice(forms)
            first = chosen.choice([0, 0, 0, chosen.randrange(len(form)), 64])
            last = chosen.choice([len(form), len(form), first + 64, first + chosen.randrange(200)])
            parts += (form[first:last], chosen.choice(["", " ", "\n", "é", "a", "ab", drawn(chosen.randrange(90))]))
        text = "".join(parts)[: PART + 700]
        stream, at, shown = Redactor(known).stream(), 0, ""
        expected = shapes_plainly(known_plainly(known, text))
        assert Redactor(known).redact(text) == expected
        while at < len(text):
            size = chosen.randrange(1, 200)
            shown, at = shown + stream.feed(text[at : at + size]), at + size
        assert shown + stream.flush() == expected


def test_what_is_large_is_searched_as_what_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sieve in front of the table, and over the borders of what is looked up at once."""
    value = "\n".join(drawn(64, number) for number in range(1000))
    lines, chosen = value.splitlines(), random.Random(1)
    told = [value[200:4300], value[64 : 64 + 2 * PART], *lines[:40], *(line[::-1] for line in lines[40:60])]
    texts = ["".join(chosen.choice([*told, "~" * chosen.randrange(99)]) for _ in range(60)) for _ in range(20)]
    known = KnownValues([value])
    assert known._sieve
    found = [Redactor(known).redact(text) for text in texts]
    assert sum(map(len, found)) < sum(map(len, texts)) / 2
    for part in (64, 1 << 20):
        monkeypatch.setattr(known_values, "PART", part)
        assert [Redactor(known).redact(text) for text in texts] == found
    monkeypatch.setattr(known_values, "LARGE", 1 << 30)
    small = KnownValues([value])
    assert not small._sieve
    assert [Redactor(small).redact(text) for text in texts] == found
    assert Redactor(known).redact(lines[7][:-1] + "!") == lines[7][:-1] + "!"


# ---- what it takes ---------------------------------------------------------------------------------------------------

SIZE = 47_000
BEGINNINGS = [
    "-----BEGIN ", "-----BEGIN AAAA ", "-----BEGIN CERTIFICATE-----", "key=", "key=a1", "key: ", "-eyJ", "sk-", "a_",
    "re_", "token", "secret", "bearer ", "ab://x:", "://:x@", "eyJaaaaaaaaaaaaaaaa.", "1234567890:", "%3D", "\\",
    '"key": "name", ', "ask-xxxxxxxxxxxxxxxxxxxx ", "key=ab-cd-1 ",
]  # fmt: skip


@each_of("unit", BEGINNINGS)
def test_beginnings_of_shapes_cost_no_more_than_other_text(unit: str) -> None:
    prose = ("The quick brown fox jumps over 13 lazy dogs.\n" * SIZE)[:SIZE]
    text = (unit * SIZE)[:SIZE]
    assert took(Redactor(), text) < 6 * took(Redactor(), prose) + 0.004


def took(redactor: Redactor, text: str) -> float:
    """Seconds of the quickest of some."""
    best = 60.0
    for _ in range(5):
        began = time.process_time()
        redactor.redact(text)
        best = min(best, time.process_time() - began)
    return best
