"""An agent's summary of its result, for the agent that continues (contract:
missions.behaviour.completion_of_a_task).
"""

import re
from typing import Final, NamedTuple

LONGEST: Final = 8000
BLOCK: Final = re.compile(r"---HANDOFF---(.*?)---END HANDOFF---", re.DOTALL)
LINE: Final = re.compile(r"^[ \t]*(summary|confidence|artifacts)[ \t]*:[ \t]*", re.IGNORECASE | re.MULTILINE)
CONFIDENCE: Final = {"high": 0.9, "medium": 0.7, "low": 0.4}


class Handoff(NamedTuple):
    """`confidence` is 0.9, 0.7 or 0.4, as the agent has said high, medium or low."""

    summary: str
    confidence: float
    artifacts: str = ""

    @property
    def text(self) -> str:
        return f"{self.summary}\n\nArtifacts: {self.artifacts}" if self.artifacts else self.summary


def handoff_in(reply: str) -> Handoff | None:
    """The last block of the reply; None if there is none, or if its summary or confidence is missing."""
    blocks = BLOCK.findall(reply)
    if not blocks:
        return None
    parts = LINE.split(blocks[-1])[1:]
    said = {name.lower(): text.strip()[:LONGEST] for name, text in zip(parts[::2], parts[1::2], strict=True)}
    confidence = CONFIDENCE.get(said.get("confidence", "").lower())
    if confidence is None or not said.get("summary"):
        return None
    return Handoff(said["summary"], confidence, said.get("artifacts", ""))
