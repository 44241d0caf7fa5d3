"""The state of routines: read, repaired, bounded, and seen by the runs that begin later."""

import asyncio
from typing import Any

import pytest

from models.people.workspaces import Role
from models.work.routine_runs import RoutineTrigger
from models.work.saved_routines import RoutineStateEntry
from resolvers.errors import Code, Refusal
from resolvers.work import routine_state
from rest_compat.http.dispatch import parse_query
from tests.every import each_of
from tests.work.routine_runs.yard import RoutineYard, text

pytestmark = pytest.mark.anyio


async def kept(yard: RoutineYard, slug: str, **raw: Any) -> dict[str, dict[str, str]]:
    shown = await yard.ask(routine_state.get_routine_state, {"slug": slug, **raw})
    return {b["schedule_id"]: {entry["key"]: entry["value"] for entry in b["entries"]} for b in shown["buckets"]}


async def put(yard: RoutineYard, slug: str, key: str, value: str, **more: Any) -> Any:
    return await yard.ask(routine_state.set_routine_state, {"slug": slug, "key": key, "value": value, **more})


async def test_runs_read_what_people_and_runs_before_them_wrote(yard: RoutineYard) -> None:
    step = text("a", "{{ routine.state.n }}+", state_write={"n": "{{ steps.a.output }}"})
    routine = await yard.routine(step)
    assert (await yard.ended(await yard.started(routine)))["output"] == "+"
    assert await put(yard, routine.slug, "n", "41") == {
        "slug": routine.slug, "schedule_id": "", "key": "n", "value": "41"
    }  # fmt: skip
    assert (await yard.ended(await yard.started(routine)))["output"] == "41+"
    assert await kept(yard, routine.slug) == {"": {"n": "41+"}}


async def test_each_schedule_has_a_state_of_its_own(yard: RoutineYard) -> None:
    step = text("a", "{{ routine.state.n }}+", state_write={"n": "{{ steps.a.output }}"})
    routine = await yard.routine(step)
    await put(yard, routine.slug, "n", "7", schedule_id="psched_x")
    by_schedule = {"triggered_via": RoutineTrigger.schedule, "triggered_by_id": "psched_x"}
    assert (await yard.ended(await yard.started(routine, **by_schedule)))["output"] == "7+"
    assert (await yard.ended(await yard.started(routine)))["output"] == "+"
    assert await kept(yard, routine.slug) == {"": {"n": "+"}, "psched_x": {"n": "7+"}}
    assert await kept(yard, routine.slug, schedule_id="") == {"": {"n": "+"}}
    assert await kept(yard, routine.slug, schedule_id="psched_x") == {"psched_x": {"n": "7+"}}


async def test_a_key_and_a_set_are_removed(yard: RoutineYard) -> None:
    slug = (await yard.routine(text("a", "b"))).slug
    for key, schedule in (("a", ""), ("b", ""), ("a", "s")):
        await put(yard, slug, key, "1", schedule_id=schedule)
    gone = await yard.ask(routine_state.delete_routine_state_key, {"slug": slug, "key": "a"})
    assert gone == {"slug": slug, "schedule_id": "", "key": "a", "deleted": True}
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_state.delete_routine_state_key, {"slug": slug, "key": "a"})
    assert (refused.value.code, refused.value.detail) == (Code.NOT_FOUND, routine_state.NO_KEY)
    await put(yard, slug, "c", "1")
    cleared = await yard.ask(routine_state.clear_routine_state, {"slug": slug})
    assert cleared == {"slug": slug, "schedule_id": "", "removed": 2}
    assert (await yard.ask(routine_state.clear_routine_state, {"slug": slug}))["removed"] == 0
    assert await kept(yard, slug) == {"s": {"a": "1"}}


async def test_texts_that_look_like_secrets_are_redacted_for_readers_alone(yard: RoutineYard) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    routine = await yard.routine(text("a", "{{ routine.state.page }}"))
    await put(yard, routine.slug, "page", f"token {secret}")
    await put(yard, routine.slug, "password", "correct-horse-battery-staple")
    shown = (await kept(yard, routine.slug))[""]
    assert secret not in shown["page"]
    assert "[REDACTED:" in shown["page"]
    assert "correct-horse" not in shown["password"]
    row = await yard.found("SELECT value FROM routine_state WHERE routine_id = $1 AND key = 'page'", routine.id)
    assert row["value"] == f"token {secret}"
    log = await yard.estate.owner.fetch("SELECT data::text FROM audit_logs WHERE entity_id = $1", routine.id)
    assert len(log) == 2
    assert not [line for line in log if secret in line["data"] or "correct-horse" in line["data"]]


@each_of("key", ["k" * 129, "é" * 65, ""])
async def test_keys_are_bounded_in_bytes(yard: RoutineYard, key: str) -> None:
    slug = (await yard.routine(text("a", "b"))).slug
    with pytest.raises(Refusal) as refused:
        await put(yard, slug, key, "x")
    assert (refused.value.code, list(refused.value.fields)) == (Code.BAD_REQUEST, ["key"])
    assert await put(yard, slug, "é" * 64, "x")


async def test_a_state_has_a_largest_size_and_number(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    slug = (await yard.routine(text("a", "b"))).slug
    for name, most, told in (
        ("LARGEST_SET", 9, routine_state.LARGE_SET),
        ("MOST_KEYS", 1, routine_state.MANY_KEYS),
        ("LARGEST_STATE", 9, routine_state.LARGE_STATE),
        ("MOST_ENTRIES", 1, routine_state.MANY_ENTRIES),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(routine_state, name, most)
            await put(yard, slug, "a", "12345678")
            for schedule_id in ("", "s") if name in ("LARGEST_STATE", "MOST_ENTRIES") else ("",):
                with pytest.raises(Refusal) as refused:
                    await put(yard, slug, "b", "1", schedule_id=schedule_id)
                assert (refused.value.code, refused.value.detail) == (Code.UNPROCESSABLE, told)
    assert await kept(yard, slug) == {"": {"a": "12345678"}}


async def test_writers_do_not_pass_the_limit_together(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routine_state, "MOST_KEYS", 3)
    slug = (await yard.routine(text("a", "b"))).slug
    writes = [put(yard, slug, f"k{n}", "1") for n in range(8)]
    made = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(each, Refusal) for each in made) == 5
    assert len((await kept(yard, slug))[""]) == 3


async def test_a_large_state_is_read_beside_the_event_loop(yard: RoutineYard) -> None:
    routine, here = await yard.routine(text("a", "b")), {"workspace_id": yard.estate.workspace.id}
    lines = "Tide tables of the harbour, hour by hour. " * 1500
    rows = [RoutineStateEntry(routine_id=routine.id, key=f"k{n}", value=lines[:60_000], **here) for n in range(16)]
    await yard.estate.add(*rows)
    assert len((await kept(yard, routine.slug))[""]) == 16


async def test_only_administrators_write(yard: RoutineYard) -> None:
    slug, manager = (await yard.routine(text("a", "b"))).slug, await yard.member(Role.MANAGER)
    for operation, raw in (
        (routine_state.set_routine_state, {"key": "a", "value": "1"}),
        (routine_state.delete_routine_state_key, {"key": "a"}),
        (routine_state.clear_routine_state, {}),
    ):
        with pytest.raises(Refusal) as refused:
            await yard.ask(operation, {"slug": slug, **raw}, None, manager)
        assert refused.value.code is Code.FORBIDDEN


def test_an_empty_parameter_is_a_value_where_a_route_says_so() -> None:
    kept_empty = ("schedule_id",)
    assert parse_query(b"schedule_id=", kept_empty) == {"schedule_id": ""}
    assert parse_query(b"schedule_id=&status=", kept_empty) == {"schedule_id": ""}
    assert parse_query(b"schedule_id=") == {}
    assert parse_query(b"a=1&schedule_id=x", kept_empty) == {"a": "1", "schedule_id": "x"}
