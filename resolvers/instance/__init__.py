"""This server: its settings, keys, license and clock, its store and vault, and its ways to the outside."""
