"""The price of a run's model call, from the provider's token counts."""

from resolvers.resources.costs.pricing import Used, cost
from runtime.adapters.conversation import TokenUsage


async def price(workspace_id: str, address: str, model: str, usage: TokenUsage) -> float | None:
    """US dollars; None where address or model has no known price."""
    cached, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    read = usage["input_tokens"] + cached + written
    return await cost(workspace_id, address, model, Used(read, usage["output_tokens"], cached, written))
