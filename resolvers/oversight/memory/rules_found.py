"""Rules of a crew: what a model has found in the journal, how it is scored, and how it is written into a memory."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from resolvers.kernel import Output
from resolvers.oversight.memory.judging import threat_in
from resolvers.resources.costs.calling import unfenced
from resolvers.rules.redaction import Redactor

MOST_RULES: Final = 20
LONGEST: Final = 400
LEAST_EVIDENCE: Final = 2
WEIGHTS: Final = {
    "relevance": 0.30, "frequency": 0.24, "query_diversity": 0.15, "recency": 0.15, "consolidation": 0.10,
    "richness": 0.06,
}  # fmt: skip
THRESHOLDS: Final = {"composite": 0.80, "recall_count": 3, "unique_queries": 3}
FULL_RECALLS, FULL_EVIDENCE = 10, 5
TITLE: Final = "# Learned rules\n"
SPACES: Final = re.compile(r"\s+")


class LearnedRule(Output):
    """A rule, and the entries of the journal that it was derived from."""

    pattern: str
    action: str
    evidence: list[str]
    confidence: float


def read_rules(answer: str, known: Sequence[str], before: str) -> list[LearnedRule]:
    """The rules in a model's answer; none if it is not JSON of the expected form. Left out are rules with fewer than
    two entries of those that were shown, rules that instruct agents to misbehave, and rules that `before` has.
    """
    try:
        found = orjson.loads(unfenced(answer))
    except orjson.JSONDecodeError:
        return []
    listed = found.get("rules") if isinstance(found, dict) else found
    rules, seen = list[LearnedRule](), before.casefold()
    for raw in listed[: 5 * MOST_RULES] if isinstance(listed, list) else ():
        rule = _rule(raw, known) if isinstance(raw, dict) else None
        if rule is None or rule.pattern.casefold() in seen:
            continue
        seen += f"\n{rule.pattern.casefold()}"
        rules.append(rule)
        if len(rules) == MOST_RULES:
            break
    return rules


def _rule(raw: dict[str, Any], known: Sequence[str]) -> LearnedRule | None:
    pattern, action = (_line(raw.get(name)) for name in ("pattern", "action"))
    given = raw.get("evidence")
    evidence = list(dict.fromkeys(id for id in known if id in given)) if isinstance(given, list) else []
    confidence = raw.get("confidence")
    sure = confidence if isinstance(confidence, int | float) and not isinstance(confidence, bool) else 0.0
    if not pattern or not action or len(evidence) < LEAST_EVIDENCE or threat_in(f"{pattern}\n{action}") is not None:
        return None
    return LearnedRule(pattern=pattern, action=action, evidence=evidence, confidence=min(1.0, max(0.0, float(sure))))


def _line(raw: Any) -> str:
    """One line without secrets."""
    if not isinstance(raw, str):
        return ""
    return SPACES.sub(" ", Redactor().redact(raw[: 4 * LONGEST])).strip(" #")[:LONGEST]


def scores_of(
    rules: Iterable[LearnedRule], shown: dict[str, datetime], searches: Sequence[dict[str, Any]], now: datetime
) -> dict[str, Any]:
    """The scores by the pattern of each rule. `searches`: payloads of searches with hits."""
    return {rule.pattern: _score(rule, shown, searches, now) for rule in rules}


def _score(
    rule: LearnedRule, shown: dict[str, datetime], searches: Sequence[dict[str, Any]], now: datetime
) -> dict[str, Any]:
    recalled = [search for search in searches if set(rule.evidence) & set(search.get("hit_chunk_ids") or ())]
    queries = {str(search.get("query", "")).casefold() for search in recalled}
    newest = max((shown[id] for id in rule.evidence if id in shown), default=now)
    days = {shown[id].date() for id in rule.evidence if id in shown}
    signals = {
        "relevance": rule.confidence,
        "frequency": min(1.0, len(recalled) / FULL_RECALLS),
        "query_diversity": min(1.0, len(queries) / FULL_RECALLS),
        "recency": max(0.0, 1.0 - (now - newest).total_seconds() / (7 * 86_400)),
        "consolidation": min(1.0, len(days) / THRESHOLDS["recall_count"]),
        "richness": min(1.0, len(rule.evidence) / FULL_EVIDENCE),
    }
    composite = sum(WEIGHTS[name] * value for name, value in signals.items())
    measured = {"composite": composite, "recall_count": len(recalled), "unique_queries": len(queries)}
    return {
        "signals": signals,
        "weights": WEIGHTS,
        **measured,
        "promoted": all(measured[name] >= least for name, least in THRESHOLDS.items()),
        "thresholds": THRESHOLDS,
    }


def block_of(rules: Iterable[LearnedRule]) -> str:
    """The rules as Markdown."""
    return "".join(
        f"\n## {rule.pattern}\n\n{rule.action}\n\nEvidence: {', '.join(rule.evidence)}."
        f" Confidence: {rule.confidence:.2f}.\n"
        for rule in rules
    )


def approval_of(proposal_id: str, at: datetime) -> str:
    return f"\nApproved {at:%Y-%m-%dT%H:%M:%SZ} (proposal {proposal_id}).\n"


def merged(before: str, block: str, mark: str = "") -> str:
    """The file with the rules at its end; unchanged if it has `mark` already."""
    if mark and mark in before:
        return before
    start = before or TITLE
    return f"{start}{'' if start.endswith(chr(10)) else chr(10)}{block}"


def name_of(at: datetime) -> str:
    """The file of rules that are learned on a day, in UTC."""
    return f"learned-{at:%Y-%m-%d}.md"
