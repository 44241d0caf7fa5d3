"""What a model is given to read fits the budget, newest first, and says what is missing."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from runtime.runs.job import Turn
from runtime.runs.prompt import TURN_TOKENS, assemble, estimate
from tests.runtime.adapters.sinks import job

TURNS = st.builds(Turn, st.sampled_from(["user", "assistant"]), st.text(max_size=60))


def test_estimates() -> None:
    assert estimate("") == 0
    assert estimate("a") == 1
    assert estimate("The quick brown fox jumps over the lazy dog.") == 15
    assert estimate("日本語") == 3
    assert estimate("\ud800") == 1


def test_all_of_a_short_conversation() -> None:
    history = (Turn("user", "hi"), Turn("assistant", "hello"))
    prompt = assemble(job("What?", history=history), 1000)
    assert prompt.system == 'You write clearly.\n\nYou are Viktor (agent "viktor" of the crew "backend").'
    assert (prompt.turns, prompt.user, prompt.dropped) == (history, "What?", 0)


def test_a_persona_follows_the_name() -> None:
    work = job("x", system_prompt="")
    friendly = dataclasses.replace(work, agent=dataclasses.replace(work.agent, persona=" You like tea. "))
    assert assemble(friendly, 100).system == ('You are Viktor (agent "viktor" of the crew "backend").\n\nYou like tea.')


def test_an_agent_without_crew_or_prompt() -> None:
    work = job("x", system_prompt=" ")
    alone = dataclasses.replace(work, agent=dataclasses.replace(work.agent, crew_slug=None))
    assert assemble(alone, 100).system == 'You are Viktor (agent "viktor").'
    assert assemble(alone, 100, "Short.").system == "Short."


def test_the_newest_turns_are_kept_and_the_rest_is_mentioned() -> None:
    history = [Turn(role, f"{role} {n} " + "x" * 90) for n in range(10) for role in ("user", "assistant")]
    prompt = assemble(job("What?", history=history), 230)
    assert prompt.turns == tuple(history[-4:])
    assert prompt.dropped == 16
    assert prompt.system.endswith("\n\nThe 16 oldest messages of this conversation were omitted.")
    assert assemble(job("What?", history=history[:1], system_prompt=""), 40).system.endswith(
        "\n\nThe oldest message of this conversation was omitted."
    )


def test_a_message_longer_than_the_budget_is_sent_whole() -> None:
    prompt = assemble(job("x" * 9000, history=[Turn("user", "hi")]), 100)
    assert (prompt.user, prompt.turns) == ("x" * 9000, ())


@given(history=st.lists(TURNS, max_size=12), budget=st.integers(0, 400))
def test_whatever_the_history(history: list[Turn], budget: int) -> None:
    prompt = assemble(job("What?", history=history), budget)
    said = [turn for turn in history if turn.content.strip()]
    assert list(prompt.turns) == said[len(said) - len(prompt.turns) :]
    assert prompt.dropped == len(said) - len(prompt.turns)
    assert not prompt.turns or prompt.turns[0].role == "user"
    read = sum(estimate(turn.content) + TURN_TOKENS for turn in prompt.turns)
    base = assemble(job("What?"), 0)
    assert not prompt.turns or read + estimate(base.system) + estimate("What?") + 2 * TURN_TOKENS <= budget
