"""Services that agents can be connected to: a catalog, and crews that are made with them."""
