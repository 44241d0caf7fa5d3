"""The scan of a skill for texts that try to manipulate an agent (contract: skills, skill_md.scan).

re2 matches in time that grows with the text alone.
"""

from functools import cache
from typing import Any, Final

FLAGS: Final = {
    r"\b(?:ignore|disregard)\b.{0,80}?\b(?:previous|prior|earlier)\b.{0,40}?\b(?:instructions?|prompts?|messages?)\b":
        "it instructs an agent to ignore its instructions",
    r"\bforget\s+(?:everything|(?:all\s+)?(?:your\s+)?previous\s+instructions?)\b":
        "it instructs an agent to forget its instructions",
    r"</?\s*system\s*>": "it holds a tag of a system message",
    r"<\|im_start\|>": "it holds a tag of a chat template",
    r"\bnew\s+instructions?\s*:\s*ignore\b": "it gives new instructions in place of the agent's",
    r"\breveal\b.{0,20}?\b(?:your|the)\s+system\s+prompt\b": "it asks for the system prompt",
    r"\bDAN\b.{0,40}?\bjailbreak\b|\bjailbreak\b.{0,40}?\bDAN\b": "it is a known way around a model's rules",
    r"[A-Za-z0-9+/=]{1000}[A-Za-z0-9+/=]{24}": "it holds a long run of encoded data",
}  # fmt: skip


@cache
def _compiled() -> tuple[tuple[Any, str], ...]:
    import re2

    options = re2.Options()
    options.case_sensitive, options.dot_nl, options.log_errors = False, True, False
    return tuple([(re2.compile(pattern, options), reason) for pattern, reason in FLAGS.items()])


def scan(text: str) -> str | None:
    """The reason for which a text is flagged; None if it is clean."""
    found = [reason for pattern, reason in _compiled() if pattern.search(text)]
    return f"Flagged: {'; '.join(found)}." if found else None
