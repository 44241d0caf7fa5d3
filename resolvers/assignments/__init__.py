"""Work and questions from agent to agent. No operation is offered yet."""
