"""Missions: how their tasks come to agents, and what comes of them. Their routes are not offered yet."""
