"""MCP servers that agents can use. No operation is offered yet."""
