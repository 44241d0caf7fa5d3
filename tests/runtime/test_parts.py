"""What is stored of a turn, folded from its frames."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.staff.runs import ChatEventType
from runtime.runs.parts import fold, summary


def event(type: str, content: str = "", **metadata: Any) -> dict[str, Any]:
    return {"type": type, "content": content} | ({"metadata": metadata} if metadata else {})


def test_pieces_of_text_join_and_a_tool_ends_the_joining() -> None:
    reply = fold(
        [
            event("user_message", "hello", author_user_id="u1"),
            event("status", "starting"),
            event("system", "init", subtype="init", model="m-1"),
            event("thinking", "Let me ", streaming=True),
            event("thinking", "see", streaming=True),
            event("text", "I will "),
            event("text", "look."),
            event("tool_call", "Bash", tool_name="Bash", tool_id="t1", input={"command": "ls"}),
            event("tool_result", "README.md", tool_use_id="t1"),
            event("text", " One file."),
            event(
                "result",
                "One file.",
                subtype="success",
                duration_ms=7,
                total_cost_usd=0.01,
                num_turns=2,
                usage={"input_tokens": 10},
                model_usage={"m-1": {}},
            ),
            event("done"),
        ]
    )
    assert reply.content == "I will look. One file."
    assert reply.parts == [
        {"type": "thinking", "content": "Let me see"},
        {"type": "text", "content": "I will look."},
        {
            "type": "tool_call",
            "content": "Bash",
            "tool_name": "Bash",
            "tool_id": "t1",
            "metadata": {"tool_name": "Bash", "tool_id": "t1", "input": {"command": "ls"}},
        },
        {"type": "tool_result", "content": "README.md", "tool_id": "t1", "metadata": {"tool_use_id": "t1"}},
        {"type": "text", "content": " One file."},
    ]
    assert reply.tool_summary == "[tool: Bash]\n[result: README.md]"
    assert reply.usage == {
        "total_cost_usd": 0.01,
        "num_turns": 2,
        "usage": {"input_tokens": 10},
        "model_usage": {"m-1": {}},
    }
    assert reply.model == "m-1"


def test_what_is_not_stored_does_not_end_the_joining() -> None:
    reply = fold(
        [event("text", "a"), event("status", "s"), event("system", "retry"), event("error", "e"), event("text", "b")]
    )
    assert reply.parts == [{"type": "text", "content": "ab"}]


def test_a_sub_agents_text_is_a_part_of_its_own() -> None:
    mark = {"parent_tool_use_id": "t1", "subagent": True}
    reply = fold(
        [
            event("text", "mine "),
            event("text", "its ", **mark),
            event("text", "own ", **mark),
            event("text", "mine again"),
        ]
    )
    assert [(p["content"], p.get("metadata")) for p in reply.parts] == [
        ("mine ", None),
        ("its own ", mark),
        ("mine again", None),
    ]
    assert reply.content == "mine its own mine again"


def test_images_keep_their_media_type() -> None:
    assert fold([event("image", "aGk=", media_type="image/png")]).parts == [
        {"type": "image", "content": "aGk=", "metadata": {"media_type": "image/png"}}
    ]


def test_only_the_first_init_names_the_model() -> None:
    assert (
        fold(
            [event("system", "init", subtype="init", model="a"), event("system", "init", subtype="init", model="b")]
        ).model
        == "a"
    )
    assert fold([event("system", "api_retry", subtype="api_retry", model="a")]).model is None


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event("text", "")],
        [
            event("status", "s"),
            event("system", "init", subtype="init"),
            event("result", "r", num_turns=1),
            event("error", "e"),
        ],
    ],
)
def test_nothing_said_is_no_part(events: list[dict[str, Any]]) -> None:
    reply = fold(events)
    assert (reply.parts, reply.content, reply.tool_summary) == ([], "", None)


def test_a_summary_has_ten_lines_and_says_how_many_more() -> None:
    parts = [{"type": "tool_call", "tool_name": f"T{n}"} for n in range(13)]
    lines = (summary(parts) or "").split("\n")
    assert lines == [*[f"[tool: T{n}]" for n in range(10)], "...and 3 more"]
    assert len((summary(parts[:10]) or "").split("\n")) == 10


def test_a_result_is_cut_to_two_hundred_characters_on_one_line() -> None:
    made = summary([{"type": "tool_result", "content": "line\n" * 100}])
    assert made is not None
    assert "\n" not in made
    assert len(made) == len("[result: ]") + 200


PIECES = st.lists(
    st.tuples(st.sampled_from(["text", "thinking", "status", "tool_call"]), st.text(max_size=5)), max_size=30
)


@given(PIECES, st.data())
def test_how_deltas_were_merged_into_frames_changes_nothing(pieces: list[tuple[str, str]], data: st.DataObject) -> None:
    """A batch merges deltas by chance of time: what is stored may not depend on it."""
    merged: list[dict[str, Any]] = []
    for type, content in pieces:
        if merged and merged[-1]["type"] == type and type in ("text", "thinking") and data.draw(st.booleans()):
            merged[-1]["content"] += content
        else:
            merged.append(event(type, content))
    plain = fold([event(type, content) for type, content in pieces])
    assert fold(merged) == plain
    kinds = [part["type"] for part in plain.parts]
    assert not any(a == b and a in (ChatEventType.text, ChatEventType.thinking) for a, b in pairwise(kinds))
