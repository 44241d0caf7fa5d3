"""The price of a run's model call, from the provider's token counts."""

from resolvers.instance import prices
from runtime.adapters.conversation import TokenUsage


def price(address: str, model: str, usage: TokenUsage) -> float | None:
    """US dollars; None where address or model has no known price. Call it in a thread: the table loads slowly."""
    cached, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return prices.price(
        address,
        model,
        read=usage["input_tokens"] + cached + written,
        wrote=usage["output_tokens"],
        from_cache=cached,
        to_cache=written,
    )
