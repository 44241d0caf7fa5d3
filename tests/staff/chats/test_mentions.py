"""Who is spoken to."""

import re

from hypothesis import given
from hypothesis import strategies as st

from resolvers.staff.chats.mentions import mentions
from tests.every import each_of

SLUGS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)


@each_of(
    "text",
    [
        "@bob",
        "Hey @bob!",
        "@BOB, come",
        "(@bob)",
        "**@bob**",
        "'@bob'",
        "one\n@bob\ntwo",
        "@bob.",
        "@bob: yes",
        "bob@bob @bob",
        "...@bob",
        "@bob's",
    ],
)
def test_a_mention(text: str) -> None:
    assert mentions(text, "bob")


@each_of(
    "text",
    [
        "",
        "bob",
        "@ bob",
        "a@bob",
        "alice.b+c@bob.example",
        "@bobby",
        "@bob_",
        "@bob-2",
        "@bob--x",
        "@bobä",
        "ä@bob",
        "x_@bob",
        "@alice",
        "bob@",
        "@alice@bob",
    ],
)
def test_no_mention(text: str) -> None:
    assert not mentions(text, "bob")


def test_a_slug_is_no_pattern() -> None:
    assert mentions("@a-b_c", "a-b_c")
    assert not mentions("@abc", "a.c")


@given(SLUGS, st.text("ab-_.,@ \n", max_size=20), st.text("ab-_.,@ \n", max_size=20))
def test_a_mention_between_spaces_is_one_whatever_surrounds_it(slug: str, before: str, after: str) -> None:
    assert mentions(f"{before} @{slug.upper()} {after}", slug)


@given(SLUGS, st.text(max_size=50))
def test_without_the_sign_nobody_is_mentioned(slug: str, text: str) -> None:
    assert not mentions(re.sub("@", "", text), slug)
