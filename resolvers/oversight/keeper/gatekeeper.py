"""Who decides on a request: rules first, then a model. What fails, is late or says nothing that can be read is a DENY;
where the budget for models is spent, people are asked.

Nothing here waits for longer than the model's timeout, and nothing but a rule or a model that says so allows.

See ADR 81.
"""

from typing import Final

from models.oversight.keeper import KeeperDecision, KeeperRequestType
from resolvers.kernel import CompletionFailed, CompletionRequest, Context, Model, instance, log
from resolvers.oversight.keeper import verdicts
from resolvers.oversight.keeper.opening import OpenedRequest
from resolvers.oversight.keeper.plausibility import is_plausible
from resolvers.oversight.keeper.prompts import Asking, prompt_of
from resolvers.oversight.keeper.verdicts import LOWEST, Verdict, denied
from resolvers.resources.costs.calling import NotCovered, completed

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
    """Who judges; None while the keeper is off."""
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
