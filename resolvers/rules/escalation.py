"""A crew's `escalation_config`: how sure an agent must be to act alone, to tell a person, or to wait for one."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from resolvers.kernel import invalid
from resolvers.rules.config_text import parse_object, shaped

FIELD: Final = "escalation_config"

Share = Annotated[float | None, Field(ge=0, le=1)]


class EscalationConfig(BaseModel):
    """Confidences between 0 and 1; an absent one, like 0, switches its rule off."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)

    auto_approve_threshold: Share = None
    notify_threshold: Share = None
    require_approval_below: Share = None


_ADAPTER = TypeAdapter(EscalationConfig)


def parse_escalation_config(text: str) -> EscalationConfig:
    """The thresholds or a refusal (contract: crews.update, escalation_config). Nulls and unknown keys do not count."""
    config = shaped(_ADAPTER, parse_object(text, FIELD), FIELD)
    approve, below = config.auto_approve_threshold or 0, config.require_approval_below or 0
    if approve > 0 and below > 0 and approve <= below:
        raise invalid(FIELD, "auto_approve_threshold must exceed require_approval_below")
    return config
