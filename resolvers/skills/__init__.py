"""Skills of agents, and templates. No operation is offered yet."""
