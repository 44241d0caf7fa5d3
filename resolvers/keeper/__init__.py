"""The keeper, who decides whether an agent gets a credential. No operation is offered yet."""
