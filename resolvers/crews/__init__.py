"""Crews: teams of agents that share a container, a network policy and files."""
