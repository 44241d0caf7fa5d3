"""Prices of model calls as published by the providers, from the installed genai-prices: without network access."""

import importlib
from typing import Any, Final

OWN_MACHINE: Final = frozenset({"ollama", "local"})
"""Providers, by name, whose models run on machines of the workspace: their calls cost nothing."""


def price(
    address: str,
    model: str,
    *,
    read: int,
    wrote: int,
    from_cache: int = 0,
    to_cache: int = 0,
    provider: str | None = None,
) -> float | None:
    """US dollars; None where address or model has no known price. `read` is all that was read, cached or not. With a
    `provider`, its name in any case counts instead of the address.

    Call it in a thread: the table loads slowly.
    """
    if provider is not None and provider.lower() in OWN_MACHINE:
        return 0.0
    prices: Any = importlib.import_module("genai_prices")
    counted = prices.Usage(
        input_tokens=read, cache_read_tokens=from_cache, cache_write_tokens=to_cache, output_tokens=wrote
    )
    try:
        of: dict[str, str] = {"provider_api_url": address} if provider is None else {"provider_id": provider}
        return float(prices.calc_price(counted, model, **of).total_price)
    except (LookupError, ValueError):  # not known; or the provider counts more tokens than there are
        return None
