"""Actors: a row names who acts by a type and an id."""

from enum import StrEnum


class ActorType(StrEnum):
    """`system` is the server, acting on a schedule or for an internal program."""

    user = "user"
    agent = "agent"
    system = "system"
