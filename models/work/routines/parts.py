"""Parts that steps share: retries, validation, outcomes, and the kinds of texts."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

NAME: Final = "^[a-z0-9][a-z0-9_-]{0,63}$"
STEP_ID: Final = "^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$"
FILLED: Final = r"\S"
MOST_STEPS: Final = 500
MOST_ATTEMPTS: Final = 10

Complexity = Literal["trivial", "fast", "moderate", "smart"]
OnFail = Literal["escalate_tier", "abort", "retry_step"]

RoutineName = Annotated[str, StringConstraints(pattern=NAME)]
StepId = Annotated[str, StringConstraints(pattern=STEP_ID)]
NeededText = Annotated[str, StringConstraints(pattern=FILLED)]
Templated = Annotated[str, Field(json_schema_extra={"x-template": True})]
NeededTemplate = Annotated[str, StringConstraints(pattern=FILLED), Field(json_schema_extra={"x-template": True})]


class Part(BaseModel):
    """A mapping of the document. Unknown keys are ignored, and a null is as good as an absent key."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, validate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Backoff(Part):
    """Each delay is `factor` times the one before, up to `max_ms`; with jitter, a random part of it."""

    min_ms: int = Field(default=1000, ge=0)
    max_ms: int = Field(default=60_000, ge=0)
    factor: float = Field(default=2, ge=1)
    jitter: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_ms > self.max_ms:
            raise ValueError(f"min_ms ({self.min_ms}) exceeds max_ms ({self.max_ms})")
        return self


class Retry(Part):
    """`retry_on` is CEL over `error`, `transient` and `status`."""

    max_attempts: int = Field(ge=1, le=MOST_ATTEMPTS)
    backoff: Backoff = Backoff()
    retry_on: str | None = None


class Validation(Part):
    """Lengths count bytes of UTF-8."""

    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    must_contain: list[str] = []
    must_not_contain: list[str] = []
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _satisfiable(self) -> Self:
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} exceeds max_length {self.max_length}")
        if clash := sorted(set(self.must_contain) & set(self.must_not_contain)):
            raise ValueError(f"{clash[0]!r} is in both must_contain and must_not_contain")
        return self


class Criterion(Part):
    """A rule that a grader answers with yes or no."""

    name: NeededText
    rule: NeededText
    description: str | None = None


class Outcomes(Part):
    """`max_iterations`: how often worker and grader try."""

    criteria: list[Criterion] = Field(min_length=1, max_length=20)
    grader_agent_slug: RoutineName
    max_iterations: int = Field(default=0, ge=0, le=10)
    on_fail: OnFail = "abort"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [criterion.name for criterion in self.criteria]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"criteria repeat the name {repeated[0]!r}")
        return self


class CredentialRef(Part):
    """A credential by its type, and its place in the request."""

    type: NeededText
    inject_as: Literal["bearer", "header", "query"] = "bearer"
    header_name: str | None = None
    query_name: str | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.inject_as == "header" and not self.header_name:
            raise ValueError("inject_as header requires header_name")
        if self.inject_as == "query" and not self.query_name:
            raise ValueError("inject_as query requires query_name")
        return self
