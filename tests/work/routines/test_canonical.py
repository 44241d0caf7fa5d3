"""One hash for one meaning, and what differs between two documents."""

from models.work.routines.canonical import StepChange, canonical_text, compare, content_hash
from models.work.routines.reading import read_routine
from tests.work.routines.documents import routine, step

YAML = "# a comment\nsteps:\n- {type: query, id: a, query: {source: pipeline_runs}}\nname: x\nmax_cost_usd: 1.0\n"
JSON = '{"name":"x","max_cost_usd":1,"steps":[{"id":"a","query":{"source":"pipeline_runs"},"type":"query"}]}'


def test_layout_and_language_make_no_difference() -> None:
    assert read_routine(YAML).hash == read_routine(JSON).hash
    assert len(read_routine(YAML).hash) == 64
    assert read_routine(YAML).hash != read_routine(YAML.replace("name: x", "name: y")).hash
    assert read_routine(YAML).hash != read_routine(YAML + "unknown: 1").hash


def test_a_fixed_hash() -> None:
    """Stored hashes must stay valid."""
    assert canonical_text({"b": 1.0, "a": "\u00e9", "c": [1.5, None]}) == '{"a":"\u00e9","b":1,"c":[1.5,null]}'
    assert content_hash({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_changes_by_step() -> None:
    old = routine(step("query", "a"), step("query", "b"), step("query", "c"), step("query", "d"), max_cost_usd=1)
    new = routine(
        step("query", "d"),
        step("query", "a"),
        step("query", "c", complexity="fast"),
        step("query", "e"),
        max_cost_usd=2,
    )
    changes = compare(old, new)
    assert changes.keys == ("max_cost_usd",)
    assert changes.steps == (
        StepChange("b", "removed"),
        StepChange("d", "moved"),
        StepChange("c", "changed", ("complexity",)),
        StepChange("e", "added"),
    )
    assert compare(old, {**old, "max_cost_usd": 1.0}).steps == compare(old, {**old, "max_cost_usd": 1.0}).keys == ()
