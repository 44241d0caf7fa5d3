"""The gatekeeper decides on a request: rules first, then a model (contract: gatekeeper.order). See ADR 81.

An agent that asks for access gets the decision, never the credential. An intent of plain words for a credential of the
lowest level needs no model. The text is normalised first, so that look-alike letters, invisible characters and odd
spaces hide nothing; a marker only means that a model has to look.

A model that fails, is late or answers no verdict denies the request; if the budget for models is spent, users decide.
Nothing waits longer than the model's timeout.
"""

import re
import unicodedata
from typing import Final

from models.oversight.keeper import KeeperDecision, KeeperRequestType
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.instance.completions import CompletionFailed, CompletionRequest, Model
from resolvers.kernel import Action, Auth, Code, Context, Output, command, instance, log
from resolvers.oversight.keeper import verdicts
from resolvers.oversight.keeper.events import KeeperAccessDecided
from resolvers.oversight.keeper.requests import AskKeeper, OpenedRequest, asking_of, decide, opened
from resolvers.oversight.keeper.verdicts import LOWEST, Asking, Verdict, denied, prompt_of
from resolvers.resources.costs.calling import NotCovered, completed

SHORTEST, DISTINCT = 10, 5
INJECTIONS: Final = (
    "ignore previous", "ignore all previous", "disregard previous", "disregard all", "forget previous", "forget all",
    "[system]", "<system>", "system:", "system prompt", "you are now", "you are no longer", "act as", "decision:",
    "decision =", 'decision":', '"decision"', "override", "new instructions", "above instructions",
)  # fmt: skip
"""Marks of a text that talks to the model instead of saying what is wanted (contract: injection_markers)."""
EXFILTRATIONS: Final = (
    "base64", "base32", "hexdump", "xxd", "rot13", "urlencode", "url-encode", "printenv", "environ", "/proc/",
    "env var", "exfil", "nslookup", "webhook.site", "requestbin", "ngrok", "pastebin", ".onion", "netcat", "dns query",
    "dns lookup",
    "print the", "show the value", "show me the", "reveal", "echo $", "echo the", "dump", "write it to", "save it to",
    "copy it to", "send it to", "post it to", "upload it", "email it", "mail it", "paste it", "share it", "forward it",
    "the value of", "raw value", "plain text", "plaintext", "another agent", "other agent", "other agents",
    "someone else", "somebody else", "all credentials", "all secrets", "every credential", "every secret", "../",
)  # fmt: skip
"""Markers of a text that asks for the value itself, or for other values."""
_HOMOGLYPHS: Final = str.maketrans(
    "аеорсухіјѕԁһӏνμοαεικτρ",
    "aeopcyxijsdhlvmoaeiktp",
)
_SPACES: Final = re.compile(r"\s+")


def normalised(text: str) -> str:
    """As it reads: compatible forms taken for plain ones, accents and what cannot be seen left out, one space between
    words, in lower case.
    """
    folded = unicodedata.normalize("NFKD", text)
    seen = "".join(each for each in folded if unicodedata.category(each) not in ("Cf", "Mn", "Me"))
    return _SPACES.sub(" ", seen.casefold().translate(_HOMOGLYPHS))


def is_plausible(intent: str) -> bool:
    """Returns true if an intent is meaningful and needs no judgement by a model."""
    text = intent.strip()
    if len(text) < SHORTEST or len({each for each in text if not each.isspace()}) < DISTINCT:
        return False
    read = normalised(text)
    if any(mark in read for mark in (*INJECTIONS, *EXFILTRATIONS)):
        return False
    return not ("{" in read and "}" in read)


DEFAULT_ADDRESS: Final = "http://localhost:11434"
TIMEOUT: Final = 5.0
OFF: Final = "Keeper not configured"
PURPOSE: Final = "keeper"
SPENT: Final = "The budget for model calls is spent, so no model was asked"
FAILED: Final = "The model did not answer"
PLAIN: Final = "A plain intent for a credential of the lowest level"


def address() -> str:
    return instance.settings.keeper_address or DEFAULT_ADDRESS


def model() -> Model | None:
    """The model that judges; None while the keeper is off."""
    settings = instance.settings
    if not settings.keeper_enabled or not settings.keeper_model:
        return None
    return Model("ollama", settings.keeper_model, address(), timeout=TIMEOUT)


async def judge(ctx: Context, opened: OpenedRequest, request_type: KeeperRequestType, asking: Asking) -> Verdict:
    judged_by = model()
    if judged_by is None:
        return denied(OFF)
    is_access = request_type is KeeperRequestType.access and asking.command is None
    if is_access and asking.level == 1 and is_plausible(asking.intent):
        return Verdict(KeeperDecision.ALLOW, PLAIN, LOWEST)
    prompt = prompt_of(asking)
    question = CompletionRequest(prompt, verdicts.schema_of(verdicts.DECISIONS))
    whose = {"agent_id": opened.agent_id, "crew_id": opened.sandbox_crew_id or ""}
    try:
        said = await completed(ctx, judged_by, question, PURPOSE, call_id=opened.request_id, **whose)
    except NotCovered:
        return Verdict(KeeperDecision.ESCALATE, SPENT, verdicts.HIGHEST, prompt)
    except CompletionFailed as failed:
        log.warning("the keeper's model did not answer", error=str(failed))
        return Verdict(KeeperDecision.DENY, FAILED, verdicts.HIGHEST, prompt)
    found = verdicts.read(said.text) or denied(verdicts.UNREADABLE)
    return Verdict(found.decision, found.reason, found.risk, prompt, said.text)


class KeeperVerdict(Output):
    """The decision. It is final; the agent has to ask again."""

    request_id: str
    decision: KeeperDecision
    reason: str
    risk_score: int


@command(
    "internal.keeper.request",
    Action.NONE,
    auth=Auth.INTERNAL,
    emits=(KeeperAccessDecided, InboxItemUpdated),
    errors=(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND),
    late=True,
)
async def request_access(ctx: Context, data: AskKeeper) -> KeeperVerdict:
    """Request access to a credential (for agents).

    Returns a verdict, never the value. Managers decide escalated requests.
    """
    request = await opened(ctx, data, KeeperRequestType.access)
    verdict = await judge(ctx, request, KeeperRequestType.access, asking_of(request, data.intent))
    await ctx.begin()
    decided = await decide(ctx, request, verdict)
    return KeeperVerdict(
        request_id=decided.id,
        decision=decided.decision,
        reason=decided.reason or "",
        risk_score=decided.risk_score or 0,
    )
