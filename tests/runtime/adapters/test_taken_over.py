"""A run of our agent that another process takes over goes on where it was, and repeats nothing shown or done."""

import pytest

from runtime.runs.job import Failed, Interrupted
from tests.runtime.adapters.agents import Lookup, adapter, provider, run
from tests.runtime.adapters.sinks import Crash, Journal, job
from tests.runtime.adapters.vendors import Breaks, Call, Refuses, Says, Vendor

pytestmark = pytest.mark.anyio


def _script(server: Vendor, start: int = 0) -> None:
    answers: list[Says | Refuses | Breaks] = [
        Refuses(500),
        Says(text=("Look. ",), calls=(Call.of("t1", "lookup", q="a"), Call.of("t2", "lookup", q="b"))),
        Says(text=("Done.",)),
    ]
    server.says(*answers[start:])


NAMES = ["init", "1 model", "1 model, again 1", "1 tool 1 lookup", "1 tool 2 lookup", "2 model", "result"]


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_that_is_taken_over_between_steps_repeats_nothing(
    server: Vendor, journal: Journal, name: str, when: str
) -> None:
    _script(server)
    tool = Lookup()
    with pytest.raises(Crash):
        await run(server, journal, tool, crash={when: name})
    outcome = await run(server, journal, tool)
    assert list(journal.outcomes) == NAMES
    assert tool.used == [{"q": "a"}, {"q": "b"}]
    assert journal.text == "Look. Done."
    assert len(server.asked) == 3
    assert journal.kinds == ["system", "system", "text", *["tool_call", "tool_result"] * 2, "text", "result"]
    assert (outcome.error, outcome.data["num_turns"], outcome.data["usage"]["input_tokens"]) == (None, 2, 20)


@pytest.mark.parametrize("name", ["1 model, again 1", "1 tool 1 lookup", "2 model"])
async def test_a_step_that_was_cut_off_is_not_repeated(server: Vendor, journal: Journal, name: str) -> None:
    _script(server)
    tool = Lookup()
    with pytest.raises(Crash):
        await run(server, journal, tool, crash={"crash_in": name})
    used, asked, text = list(tool.used), len(server.asked), journal.text
    with pytest.raises(Interrupted):
        await run(server, journal, tool)
    assert (tool.used, len(server.asked), journal.text) == (used, asked, text)


async def test_only_tools_act(server: Vendor, journal: Journal) -> None:
    _script(server)
    sink, work = journal.attempt(), job("x", provider=provider(server))
    await (await adapter(server, work, Lookup())).run(work, sink)
    assert (sink.done, sink.acting) == (NAMES, ["1 tool 1 lookup", "1 tool 2 lookup"])


async def test_a_failure_that_was_recorded_is_the_same_failure_again(server: Vendor, journal: Journal) -> None:
    server.says(Refuses(401))
    with pytest.raises(Crash):
        await run(server, journal, crash={"crash_after": "1 model"})
    with pytest.raises(Failed, match="refused the key"):
        await run(server, journal)
    assert len(server.asked) == 1
