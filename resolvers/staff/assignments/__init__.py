"""Work and questions from agent to agent."""
