"""Feature flags of the instance. No operation is offered yet."""
