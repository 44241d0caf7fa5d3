"""The slug that a project's name makes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from resolvers.work.projects.projects import slug_of
from tests.every import each_of

ID = "cabcdefgh12345678"
TAIL = "project-12345678"


@each_of(
    ("name", "slug"),
    [
        ("Zulu Launch", "zulu-launch"),
        ("Alpha: Größe & more", "alpha-gre-more"),
        ("  Many   spaces -- and_under.dots  ", "many-spaces-andunderdots"),
        ("--a--b--", "a-b"),
        ("V2", "v2"),
        ("A\tb\nc", "abc"),
        ("x" * 255, "x" * 255),
        ("\u212aelvin", "kelvin"),  # the sign of the unit has a small letter of ASCII
        ("\u6f22\u5b57", TAIL),
        ("a", TAIL),
        ("- -", TAIL),
        ("\u00fc\u00fc", TAIL),
        ("", TAIL),
    ],
)
def test_what_a_name_makes(name: str, slug: str) -> None:
    assert slug_of(name, ID) == slug


@given(st.text())
def test_a_slug_is_one(name: str) -> None:
    """Two characters at least, of a small alphabet, no hyphen at an end or beside another; and a slug makes itself."""
    slug = slug_of(name, ID)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) >= 2
    assert slug_of(slug, ID) == slug
    assert len(slug) <= max(len(name.lower()), len(TAIL))


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=40))
def test_letter_case_makes_no_other_slug(name: str) -> None:
    assert slug_of(name.upper(), ID) == slug_of(name, ID)
