"""Unified diffs: as the standard library makes them, and bounded for documents of any size."""

import difflib
import json
import time

from hypothesis import given
from hypothesis import strategies as st

from models.work.routines.unified import unified

VALUES = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.integers(0, 3), max_size=9), max_size=6)


def lines(value: object) -> list[str]:
    return [f"{line}\n" for line in json.dumps(value, indent=2, sort_keys=True).split("\n")]


def applied(old: list[str], diff: str) -> list[str]:
    """The new lines that a diff makes of the old ones."""
    made, place = list[str](), 0
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            start, _, size = line.split()[1][1:].partition(",")
            first = int(start) - (0 if size == "0" else 1)
            made += old[place:first]
            place = first
        elif line[0] == "+":
            made.append(line[1:])
        else:
            assert old[place] == line[1:]
            made += [line[1:]] if line[0] == " " else []
            place += 1
    return made + old[place:]


@given(VALUES, VALUES)
def test_a_diff_makes_the_new_of_the_old(old: dict[str, list[int]], new: dict[str, list[int]]) -> None:
    made = unified(old, new, "v1", "v2")
    assert applied(lines(old), made) == lines(new)
    assert (made == "") is (old == new)


def test_a_small_diff_is_that_of_the_standard_library() -> None:
    old = {"steps": [{"id": f"s{n}"} for n in range(40)], "name": "a"}
    new = {"steps": [*old["steps"][:5], {"id": "new"}, *old["steps"][5:]], "name": "b"}
    expected = "".join(difflib.unified_diff(lines(old), lines(new), "v1", "v2"))
    assert unified(old, new, "v1", "v2") == expected


def test_large_documents_are_compared_quickly() -> None:
    old = {"steps": [{"id": n % 7, "k": n} for n in range(15_000)]}
    new = {"steps": [{"id": n % 5, "k": -n} for n in range(15_000)]}
    began = time.process_time()
    assert applied(lines(old), unified(old, new, "v1", "v2")) == lines(new)
    assert time.process_time() - began < 3
