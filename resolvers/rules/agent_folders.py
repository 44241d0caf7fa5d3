"""The folders of an agent's commands, in every kind of isolation."""

from typing import Final

OUTPUT: Final = "/output"
HOME: Final = "/home/agent"
SKILLS: Final = "/skills"
SCRATCH: Final = "/scratch"
"""The working directory of a command that sees none of the agent's files."""
