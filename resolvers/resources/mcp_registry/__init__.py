"""A mirror of the public registry of MCP servers, to look servers up in."""
