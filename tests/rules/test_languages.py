"""Languages by name and by code."""

from hypothesis import given

from resolvers.rules.languages import LANGUAGES, canonical_language
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, value_or_refusal


@each_of(("code", "name"), LANGUAGES.items())
def test_code_and_name(code: str, name: str) -> None:
    for text in (code, name, code.upper(), name.lower()):
        assert canonical_language(text) == name


def test_every_name_stands_once() -> None:
    assert len(LANGUAGES) == len(set(LANGUAGES.values())) == 46
    assert not {name.lower() for name in LANGUAGES.values()} & set(LANGUAGES)


@each_of(
    ("text", "name"),
    [
        ("en", "English"),
        ("pt", "Portuguese"),
        ("pt-br", "Portuguese (Brazil)"),
        ("zh-TW", "Chinese (Traditional)"),
        ("nb", "Norwegian"),
    ],
)
def test_examples(text: str, name: str) -> None:
    assert canonical_language(text) == name


def test_an_empty_text_clears() -> None:
    assert canonical_language("") is None


@each_of("text", [" ", "en ", "xx", "en-US", "pt_BR", "Klingon", "Portuguese(Brazil)", "\x00"])
def test_refused(text: str) -> None:
    with refused("preferred_language", "not a known language"):
        canonical_language(text)


def test_the_field_is_named() -> None:
    with refused("language"):
        canonical_language("xx", "language")


@given(anything)
def test_total(text: str) -> None:
    assert value_or_refusal(canonical_language, text) in {None, *LANGUAGES.values()}
