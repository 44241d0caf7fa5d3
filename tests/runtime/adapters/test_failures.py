"""Our own agent where its provider fails, on both wires: what is tried again, and what is said of the rest."""

import json
import time
from typing import Any

import pytest

from models.staff.runs import ChatEventType
from runtime.runs.job import Failed
from tests.runtime.adapters.agents import KEY, Lookup, run
from tests.runtime.adapters.sinks import Journal
from tests.runtime.adapters.vendors import Breaks, Call, Refuses, Says, Vendor

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
OLD = "sk-test-before-9876543210"


@pytest.mark.parametrize(
    "answer",
    [
        Refuses(429, "rate_limit_error"),
        Refuses(500, "api_error"),
        Refuses(503),
        Refuses(529, "overloaded_error"),
        Refuses(408),
    ],
)
async def test_what_may_pass_is_tried_again(server: Vendor, journal: Journal, answer: Refuses) -> None:
    server.says(answer, answer, Says(text=("at last",)))
    assert (await run(server, journal)).error is None
    retries = [event for event in journal.of(ChatEventType.system) if event.content == "api_retry"]
    assert [
        event.metadata and (event.metadata["attempt"], event.metadata["max_retries"], event.metadata["error_status"])
        for event in retries
    ] == [
        (1, 3, answer.status),
        (2, 3, answer.status),
    ]
    assert all(event.metadata and event.metadata["retry_delay_ms"] > 0 and event.metadata["error"] for event in retries)
    assert journal.text == "at last"
    assert journal.result["num_turns"] == 1


async def test_retry_after_is_kept_to(server: Vendor, journal: Journal) -> None:
    server.says(Refuses(429, "rate_limit_error", headers={"retry-after": "0.4"}), Says(text=("ok",)))
    began = time.monotonic()
    await run(server, journal)
    assert time.monotonic() - began >= 0.4
    assert [e.metadata and e.metadata["retry_delay_ms"] for e in journal.of(ChatEventType.system)[1:]] == [400]


async def test_a_wait_that_is_too_long_ends_the_run(server: Vendor, journal: Journal) -> None:
    server.says(Refuses(429, "rate_limit_error", headers={"retry-after": "3600"}))
    with pytest.raises(
        Failed, match=r"has too many requests at the moment \(HTTP 429\).* It asks to wait 3600 seconds\.$"
    ):
        await run(server, journal)
    assert len(server.asked) == 1


async def test_retries_come_to_an_end(server: Vendor, journal: Journal) -> None:
    server.says(*(Refuses(500, "api_error", "oh dear") for _ in range(9)))
    with pytest.raises(Failed, match=r"^(OpenAI|Anthropic) failed \(HTTP 500\): oh dear$"):
        await run(server, journal)
    assert len(server.asked) == 4
    assert journal.kinds == ["system"] * 4 + ["result"]
    assert journal.result["errors"][0].endswith("oh dear")


@pytest.mark.parametrize("how", ["cut", "closed", "overloaded"])
async def test_an_answer_that_breaks_off_before_anything_was_shown_is_tried_again(
    server: Vendor, journal: Journal, how: Any
) -> None:
    server.says(Breaks(how=how), Says(text=("ok",)))
    assert (await run(server, journal)).error is None
    assert journal.text == "ok"


@pytest.mark.parametrize("how", ["cut", "closed", "overloaded"])
async def test_what_was_shown_is_never_shown_again(server: Vendor, journal: Journal, how: Any) -> None:
    server.says(Breaks(("It is",), how), Says(text=("ok",)))
    with pytest.raises(Failed):
        await run(server, journal)
    assert journal.text == "It is"
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", ["nonsense", "wrong types"])
async def test_an_answer_that_cannot_be_read_is_a_failure(server: Vendor, journal: Journal, how: Any) -> None:
    server.says(Breaks(how=how))
    with pytest.raises(Failed, match="sent an answer that cannot be read"):
        await run(server, journal)


def keys_used(server: Vendor) -> list[str]:
    return [h.get("x-api-key") or h["authorization"].removeprefix("Bearer ") for h in server.headers]


async def test_a_rotated_key_that_is_refused_is_followed_by_the_one_before(server: Vendor, journal: Journal) -> None:
    call = Says(calls=(Call.of("t1", "lookup", q="x"),))
    server.says(Refuses(401, "authentication_error"), call, Says(text=("It is 42.",)))
    outcome = await run(server, journal, Lookup(), before=OLD)
    assert outcome.error is None
    assert keys_used(server) == [KEY, OLD, OLD]  # the run goes on with what was taken


@pytest.mark.parametrize(("before", "asked"), [(None, [KEY]), (OLD, [KEY, OLD])])
async def test_a_key_is_tried_again_at_most_once(
    server: Vendor, journal: Journal, before: str | None, asked: list[str]
) -> None:
    server.says(Refuses(401, "authentication_error"), Refuses(401, "authentication_error", f"not {before}"))
    with pytest.raises(Failed, match=r"refused the key \(HTTP 401\)") as failed:
        await run(server, journal, before=before)
    assert (keys_used(server), OLD in str(failed.value)) == (asked, False)


async def test_a_key_that_may_not_is_not_followed_by_another(server: Vendor, journal: Journal) -> None:
    server.says(Refuses(403, "permission_error"))
    with pytest.raises(Failed, match=r"HTTP 403"):
        await run(server, journal, before=OLD)
    assert keys_used(server) == [KEY]


LONG = "prompt is too long: 210000 tokens > 200000 maximum"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            Refuses(401, "authentication_error", f"Incorrect API key provided: {KEY}"),
            r"refused the key \(HTTP 401\)\. Check \w+_API_KEY\.$",
        ),
        (Refuses(403, "permission_error"), r"refused the key \(HTTP 403\)"),
        (Refuses(404, "model_not_found"), r'has no model "m-1" \(HTTP 404\)\. Choose another'),
        (Refuses(400, "invalid_request_error", LONG), r"longer than m-1 can read"),
        (Refuses(400, "context_length_exceeded"), r"longer than m-1 can read"),
        (Refuses(413, "request_too_large"), r"longer than m-1 can read"),
        (Refuses(429, "insufficient_quota"), r"has no credit left"),
        (
            Refuses(400, "invalid_request_error", f"odd {KEY} thing " + "x" * 900),
            r"refused the request \(HTTP 400\): odd \[REDACTED:credential\] thing x+\.\.\.$",
        ),
    ],
)
async def test_what_no_retry_helps_is_said_in_words_without_the_key(
    server: Vendor, journal: Journal, answer: Refuses, says: str
) -> None:
    server.says(answer)
    with pytest.raises(Failed, match=says) as failed:
        await run(server, journal)
    assert len(server.asked) == 1
    for told in (str(failed.value), json.dumps(journal.outcomes), str(journal.events)):
        assert KEY not in told
        assert KEY[8:20] not in told
        assert server.url not in told
    assert len(str(failed.value)) < 400


async def test_nobody_at_the_address(server: Vendor, journal: Journal) -> None:
    server.url = "http://127.0.0.1:1"
    with pytest.raises(Failed, match=r"^(OpenAI|Anthropic) could not be reached\.$"):
        await run(server, journal)
    assert [e.metadata and e.metadata["error"] for e in journal.of(ChatEventType.system)[1:]] == [
        "connection_error"
    ] * 3


@pytest.mark.parametrize(
    "url", ["http://[::1", "nothing", "http://127.0.0.1:99999", "file:///etc/passwd", "http://a b/"]
)
async def test_an_address_that_is_none(server: Vendor, journal: Journal, url: str) -> None:
    server.url = url
    with pytest.raises(Failed, match=r"^The address of (OpenAI|Anthropic) is not a URL\.$"):
        await run(server, journal)


async def test_a_redirect_is_not_followed(server: Vendor, journal: Journal) -> None:
    server.says(Refuses(307, headers={"location": f"{server.url}/elsewhere"}), Says(text=("ok",)))
    with pytest.raises(Failed, match=r"\(HTTP 307\)"):
        await run(server, journal)
    assert len(server.asked) == 1


async def test_a_key_that_cannot_be_sent(server: Vendor, journal: Journal) -> None:
    with pytest.raises(Failed, match="refused the key"):
        await run(server, journal, key="ключ-от-всего")
    assert server.asked == []
