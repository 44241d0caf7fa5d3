"""The prompt of a model: the agent's identity, the conversation so far, and the message (contract:
chats.behaviour 12).
"""

from dataclasses import dataclass

from runtime.runs import attachments
from runtime.runs.job import Job, Turn, Worker
from runtime.runs.skills import listing

BYTES_A_TOKEN = 3
TURN_TOKENS = 4  # what marks a turn's beginning, role and end


def estimate(text: str) -> int:
    """Tokens of a text, without any model's tokenizer: one for three bytes of UTF-8.

    English has about four bytes to a token and code about three, so the real number is rarely above this one. The
    estimate only selects what to send; the provider reports the real usage.
    """
    return -(-len(text.encode(errors="surrogatepass")) // BYTES_A_TOKEN)


@dataclass(frozen=True, slots=True)
class Prompt:
    """`turns` are the newest of the history, oldest first; `dropped` says how many before them were left out."""

    system: str
    turns: tuple[Turn, ...]
    user: str
    dropped: int = 0


def assemble(job: Job, budget: int, system: str | None = None) -> Prompt:
    """`budget`: tokens by `estimate` for all of it. System part and message are never cut; history takes the rest.

    `system` stands for the one of an agent that works with tools.
    """
    if system is None:
        parts = (_system(job.agent), listing(job.skills), attachments.listing(job.attachments))
        system = "\n\n".join(filter(None, parts))
    history = tuple(turn for turn in job.history if turn.content.strip())  # providers refuse an empty turn
    turns = _newest(history, budget - estimate(system) - estimate(job.prompt) - 2 * TURN_TOKENS)
    dropped = len(history) - len(turns)
    if dropped:
        system = f"{system}\n\n{_omission(dropped)}"
    return Prompt(system, turns, job.prompt, dropped)


def _system(agent: Worker) -> str:
    crew = f' of the crew "{agent.crew_slug}"' if agent.crew_slug else ""
    named = f'You are {agent.name} (agent "{agent.slug}"{crew}).'
    return "\n\n".join(part for part in (agent.system_prompt.strip(), named, agent.persona.strip()) if part)


def _newest(history: tuple[Turn, ...], budget: int) -> tuple[Turn, ...]:
    """As many of the newest turns as fit, from one of the user's on: models refuse one the assistant begins."""
    kept: list[Turn] = []
    for turn in reversed(history):
        budget -= estimate(turn.content) + TURN_TOKENS
        if budget < 0:
            break
        kept.append(turn)
    while kept and kept[-1].role != "user":
        kept.pop()
    return tuple(reversed(kept))


def _omission(dropped: int) -> str:
    return (
        f"The {dropped} oldest messages of this conversation were omitted."
        if dropped > 1
        else "The oldest message of this conversation was omitted."
    )
