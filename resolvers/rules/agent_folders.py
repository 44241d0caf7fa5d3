"""Where commands of an agent find their files, whatever keeps them apart from those of others."""

from typing import Final

OUTPUT: Final = "/output"
HOME: Final = "/home/agent"
SKILLS: Final = "/skills"
SCRATCH: Final = "/scratch"
"""Where a command begins that finds nothing of the agent's."""
