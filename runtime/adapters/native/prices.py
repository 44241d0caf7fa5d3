"""What a model call costs by its provider's published prices, as the installed genai-prices knows them: offline."""

import importlib
from typing import Any

from runtime.adapters.conversation import Usage


def price(address: str, model: str, usage: Usage) -> float | None:
    """US dollars; None where address or model has no known price. Call it in a thread: the table loads slowly."""
    prices: Any = importlib.import_module("genai_prices")
    cached, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    counted = prices.Usage(
        input_tokens=usage["input_tokens"] + cached + written,  # all of them, for this library
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=usage["output_tokens"],
    )
    try:
        return float(prices.calc_price(counted, model, provider_api_url=address).total_price)
    except (LookupError, ValueError):  # not known; or the provider counts more tokens than there are
        return None
