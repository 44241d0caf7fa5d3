"""What a model's answer means. It is read strictly, and whatever is not a verdict is the safe one."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from models.bounds import cut
from models.oversight.keeper import KeeperDecision
from resolvers.rules.redaction import Redactor

LOWEST, HIGHEST = 1, 10
LONGEST_REASON: Final = 1_000
LARGEST: Final = 16_000  # characters of an answer that are looked at
DECISIONS: Final = frozenset({KeeperDecision.ALLOW, KeeperDecision.DENY, KeeperDecision.ESCALATE})
UNREADABLE: Final = "The model's answer is not a verdict"
NO_REASON: Final = "The model gave no reason"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`prompt` and `answer`: what the model was asked and said, where one was."""

    decision: KeeperDecision
    reason: str
    risk: int
    prompt: str | None = None
    answer: str | None = None


def denied(reason: str) -> Verdict:
    return Verdict(KeeperDecision.DENY, reason, HIGHEST)


def schema_of(decisions: frozenset[KeeperDecision]) -> dict[str, Any]:
    """What the answer has to be, for servers that hold a model to a schema."""
    properties = {
        "decision": {"type": "string", "enum": sorted(decision.value for decision in decisions)},
        "reason": {"type": "string"},
        "risk": {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def read(text: str, decisions: frozenset[KeeperDecision] = DECISIONS) -> Verdict | None:
    """The verdict in an answer: the JSON between its first brace and its last. None where there is none.

    A decision that is not offered is DENY, a risk that is no number the highest (contract: gatekeeper.order, 5).
    """
    said = _object(text)
    if said is None:
        return None
    named = said.get("decision")
    word = named.strip().upper() if isinstance(named, str) else ""
    decision = KeeperDecision(word) if word in {each.value for each in decisions} else KeeperDecision.DENY
    reason = said.get("reason")
    told = " ".join(reason.split()) if isinstance(reason, str) else ""
    return Verdict(decision, cut(Redactor().redact(told) or NO_REASON, LONGEST_REASON), _risk(said.get("risk")))


def _object(text: str) -> dict[str, Any] | None:
    text = text[:LARGEST]
    first, last = text.find("{"), text.rfind("}")
    if not 0 <= first < last:
        return None
    try:
        found = orjson.loads(text[first : last + 1])
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _risk(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return HIGHEST
    return max(LOWEST, min(HIGHEST, round(min(max(value, LOWEST), HIGHEST))))
