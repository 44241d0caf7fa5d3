"""Pairing of the command line: one code, one token, of whoever was signed in."""

import asyncio
import re
from typing import Any

import httpx2
import pytest

from resolvers.instance.crypto import digest
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from tests.every import each_of
from tests.people.auth.browsers import Browser, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
START, POLL, REDEEM = (f"/api/v1/auth/pair/{name}" for name in ("start", "poll", "redeem"))
INVALID = "Invalid or expired code"


async def start(browser: Browser, **body: Any) -> str:
    code: str = (await browser.send("POST", START, json=body)).json()["code"]
    return code


async def poll(browser: Browser, code: str) -> dict[str, Any]:
    state: dict[str, Any] = (await browser.send("GET", f"{POLL}?code={code}")).json()
    return state


async def redeem(world: World, **body: Any) -> httpx2.Response:
    return await Browser(world.url).send("POST", REDEEM, json=body)


async def test_a_code_becomes_a_token_of_the_user_who_asked_for_it(world: World) -> None:
    browser, user = await signed_in(world)
    started = (await browser.send("POST", START, json={"adapter_hint": "claude_code"})).json()
    code = started["code"]
    assert re.fullmatch("[ABCDEFGHJKMNPQRSTVWXYZ23456789]{4}-[ABCDEFGHJKMNPQRSTVWXYZ23456789]{4}", code)
    assert await poll(browser, code) == {
        "status": "pending",
        "adapter_hint": "CLAUDE_CODE",
        "expires_at": started["expires_at"],
    }
    answer = await redeem(world, code=code)
    made = answer.json()
    assert answer.status_code == 200
    assert made == {"cli_token": made["cli_token"], "user_id": user.id, "email": user.email}
    row = await world.database.fetchrow("SELECT * FROM cli_tokens WHERE user_id = $1", user.id)
    assert (row["name"], row["tier"], row["scopes"], row["expires_at"], row["token_hash"]) == (
        "pair-claude_code",
        "STANDARD",
        [],
        None,
        digest(made["cli_token"]),
    )
    who = await Browser(world.url).send(
        "GET", "/api/v1/auth/cli-token/validate", headers={"authorization": f"Bearer {made['cli_token']}"}
    )
    assert who.json() == {"valid": True, "user_id": user.id, "user_email": user.email}
    assert (await poll(browser, code))["status"] == "consumed"
    assert (await redeem(world, code=code)).json()["error"] == INVALID, "a code is good for one token"
    assert await tokens_of(world, user.id) == ["pair-claude_code"]


async def tokens_of(world: World, user_id: str) -> list[str]:
    rows = await world.database.fetch("SELECT name FROM cli_tokens WHERE user_id = $1 ORDER BY created_at, id", user_id)
    return [row["name"] for row in rows]


async def test_of_redeems_at_once_one_wins(world: World) -> None:
    browser, user = await signed_in(world)
    code = await start(browser)
    answers = await asyncio.gather(*(redeem(world, code=code) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {INVALID}
    assert await tokens_of(world, user.id) == ["pair"]


@each_of("typed", ["{lower}", " {plain} ", "{plain}", "{blank}", "-{code}-"])
async def test_case_blanks_and_dashes_do_not_matter(world: World, typed: str) -> None:
    browser, _ = await signed_in(world)
    code = await start(browser)
    forms = {"code": code, "lower": code.lower(), "plain": code.replace("-", ""), "blank": code.replace("-", "\t ")}
    assert (await redeem(world, code=typed.format(**forms))).status_code == 200


@each_of("code", ["", "AAAA-AAA", "AAAA-AAAAA", "AAAA AAAA A", "ſſſſſßßß", None, 12345678, ["AAAAAAAA"]])
async def test_a_malformed_code_is_a_fault_of_the_request(world: World, code: Any) -> None:
    browser, _ = await signed_in(world)
    before = await world.snapshot()
    assert (await redeem(world, code=code)).status_code == 400
    if isinstance(code, str):
        assert (await browser.send("GET", POLL, params={"code": code})).status_code == 400
    assert (await browser.send("GET", POLL)).status_code == 400
    assert await world.snapshot() == before


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"AAAA-AAAA"])
async def test_a_redeem_needs_a_body(world: World, content: bytes) -> None:
    assert (await Browser(world.url).send("POST", REDEEM, content=content)).status_code == 400


async def test_unknown_expired_and_used_codes_are_answered_alike(world: World) -> None:
    browser, user = await signed_in(world)
    used, late = await start(browser), await start(browser)
    await redeem(world, code=used)
    await world.database.execute(
        "UPDATE pairings SET expires_at = now() - interval '1 second' WHERE user_id = $1 AND consumed_at IS NULL",
        user.id,
    )
    before = await world.snapshot()
    answers = [await redeem(world, code=code) for code in (used, late, "AAAA-AAAA", "ILOU-0101")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(400, answers[0].content)}
    assert answers[0].json()["error"] == INVALID
    assert await world.snapshot() == before
    state = await poll(browser, late)
    assert (state["status"], state["expires_at"] != "") == ("expired", True)


async def test_a_foreign_code_is_answered_like_an_unknown_one(world: World) -> None:
    browser, _ = await signed_in(world)
    stranger, _ = await signed_in(world)
    code = await start(browser)
    unknown = {"status": "expired", "expires_at": ""}
    assert await poll(stranger, code) == await poll(stranger, "AAAA-AAAA") == unknown
    document = "query($code: String!) { pairing(code: $code) { status adapterHint expiresAt } }"
    answer = await stranger.send("POST", "/graphql", json={"query": document, "variables": {"code": code}})
    assert answer.json()["data"]["pairing"] == {"status": "expired", "adapterHint": None, "expiresAt": None}


async def test_earlier_codes_stay_valid(world: World) -> None:
    browser, user = await signed_in(world)
    first, second = await start(browser), await start(browser)
    assert first != second
    assert [(await redeem(world, code=code)).status_code for code in (second, first)] == [200, 200]
    assert await tokens_of(world, user.id) == ["pair", "pair"]


@each_of(
    ("hint", "kept"),
    [
        ("codex", "CODEX"),
        ("a" * 40, "A" * 32),
        ("no spaces", None),
        ("x-y", None),
        ("", None),
        ("ß" * 20, None),
        ("a" * 2000, "A" * 32),
        (None, None),
    ],
)
async def test_a_hint_that_is_none_is_left_out(world: World, hint: Any, kept: str | None) -> None:
    browser, user = await signed_in(world)
    code = await start(browser, adapter_hint=hint)
    assert (await poll(browser, code)).get("adapter_hint") == kept
    await redeem(world, code=code)
    assert await tokens_of(world, user.id) == ["pair" if kept is None else f"pair-{kept.lower()}"]


@pytest.mark.parametrize("hint", [7, {"a": 1}, ["codex"], "a" * 3000])
async def test_a_hint_is_a_text(world: World, hint: Any) -> None:
    browser, _ = await signed_in(world)
    code = await start(browser)
    before = await world.snapshot()
    assert (await browser.send("POST", START, json={"adapter_hint": hint})).status_code == 400
    assert (await redeem(world, code=code, adapter_hint=hint)).status_code == 400
    assert await world.snapshot() == before


async def test_the_command_line_knows_best_what_it_is(world: World) -> None:
    browser, user = await signed_in(world)
    code = await start(browser, adapter_hint="codex")
    await redeem(world, code=code, adapter_hint="Gemini_Cli")
    assert await tokens_of(world, user.id) == ["pair-gemini_cli"]
    assert (await poll(browser, code))["adapter_hint"] == "GEMINI_CLI"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]"])
async def test_a_start_needs_no_body(world: World, content: bytes) -> None:
    browser, _ = await signed_in(world)
    assert (await browser.send("POST", START, content=content)).status_code == 200


async def test_no_code_is_stored_in_a_form_that_could_be_tried(world: World) -> None:
    """Eight characters are found in seconds from a plain hash of them."""
    browser, user = await signed_in(world)
    code = (await start(browser)).replace("-", "")
    row = await world.database.fetchrow("SELECT * FROM pairings WHERE user_id = $1", user.id)
    kept = " ".join(str(value) for value in row.values())
    assert code not in kept
    assert digest(code) not in kept


async def test_old_pairings_are_swept(world: World) -> None:
    browser, user = await signed_in(world)
    for age in ("25 hours", "23 hours"):
        await start(browser)
        await world.database.execute(
            f"UPDATE pairings SET expires_at = now() - interval '{age}' WHERE user_id = $1 AND expires_at > now()",
            user.id,
        )
    await sweeper.sweep(across_workspaces)
    assert await world.database.fetchval("SELECT count(*) FROM pairings WHERE user_id = $1", user.id) == 1


async def test_by_graphql(world: World) -> None:
    document = "mutation { startPairing(input: {adapterHint: codex}) { code expiresAt } }".replace("codex", '"codex"')
    code = (await world.graphql(world.member, document))["data"]["startPairing"]["code"]
    redeems = "mutation($code: String!) { redeemPairing(input: {code: $code}) { cliToken userId email } }"
    made = (await world.graphql(None, redeems, {"code": code}))["data"]["redeemPairing"]
    assert (made["userId"], made["email"]) == (world.member.user_id, world.member.email)
    again = await world.graphql(None, redeems, {"code": code})
    assert (again["errors"][0]["message"], again["errors"][0]["extensions"]["code"]) == (INVALID, "BAD_REQUEST")
