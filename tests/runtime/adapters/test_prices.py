"""What the calls of a run cost: by the prices known of the address and the model, and never guessed."""

import pytest

from runtime.adapters.conversation import TokenUsage
from runtime.adapters.native.prices import price

pytestmark = pytest.mark.anyio
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"
KNOWN = [(OPENAI, "gpt-4o-mini"), (ANTHROPIC, "claude-sonnet-4-20250514")]


def usage(input: int = 0, output: int = 0, read: int = 0, written: int = 0) -> TokenUsage:
    return {
        "input_tokens": input,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
    }


async def priced(address: str, model: str, used: TokenUsage) -> float:
    found = await price("", address, model, used)
    assert found is not None
    return found


@pytest.mark.parametrize(("address", "model"), KNOWN)
async def test_tokens_have_their_price_by_kind(address: str, model: str) -> None:
    fresh, cached, said = [
        await priced(address, model, used) for used in (usage(input=1000), usage(read=1000), usage(output=1000))
    ]
    assert 0 < cached < fresh < said < 1
    assert await priced(address, model, usage(1000, 1000, 1000)) == pytest.approx(fresh + cached + said)
    assert await priced(address, model, usage()) == 0


async def test_writing_to_a_cache_costs_more_than_reading_past_it() -> None:
    address, model = KNOWN[1]
    assert await priced(address, model, usage(written=1000)) > await priced(address, model, usage(input=1000))


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("http://127.0.0.1:11434/v1", "gpt-4o-mini"),
        ("https://models.example.com", "claude-sonnet-4-20250514"),
        (OPENAI, "no-such-model"),
    ],
)
async def test_what_has_no_known_price_is_not_guessed(address: str, model: str) -> None:
    assert await price("", address, model, usage(1000, 1000)) is None
