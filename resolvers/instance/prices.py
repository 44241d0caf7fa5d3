"""Prices of model calls as published by the providers, from the installed genai-prices: without network access."""

import importlib
from typing import Any


def price(address: str, model: str, *, read: int, wrote: int, from_cache: int = 0, to_cache: int = 0) -> float | None:
    """US dollars; None where address or model has no known price. `read` is all that was read, cached or not.

    Call it in a thread: the table loads slowly.
    """
    prices: Any = importlib.import_module("genai_prices")
    counted = prices.Usage(
        input_tokens=read, cache_read_tokens=from_cache, cache_write_tokens=to_cache, output_tokens=wrote
    )
    try:
        return float(prices.calc_price(counted, model, provider_api_url=address).total_price)
    except (LookupError, ValueError):  # not known; or the provider counts more tokens than there are
        return None
