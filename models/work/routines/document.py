"""A routine: the typed model of its document."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from models.work.routines.bodies import (
    Act,
    Called,
    Code,
    Notice,
    Prompt,
    Request,
    RunQuery,
    Script,
    Transformation,
    Waiting,
)
from models.work.routines.parts import (
    MOST_STEPS,
    Complexity,
    NeededTemplate,
    NeededText,
    OnFail,
    Outcomes,
    Part,
    Retry,
    RoutineName,
    StepId,
    Templated,
    Validation,
)

_PLAIN_NAME: Final = re.compile(r"[^{}\s]+")


class StepHooks(Part):
    """Steps before and after a step."""

    before: "Step | None" = None
    after: "Step | None" = None


class BaseStep(Part):
    """Keys of all types of steps. A time-out of 0 or less is the default of the type."""

    id: StepId
    complexity: Complexity | None = None
    model_override: str | None = None
    timeout_seconds: int = 0
    condition: Templated | None = Field(default=None, alias="if")
    needs: list[StepId] = []
    on_fail: OnFail = "escalate_tier"
    retry: Retry | None = None
    validation: Validation | None = None
    outcomes: Outcomes | None = None
    hooks: StepHooks = Field(default_factory=lambda: StepHooks())  # noqa: PLW0108 - the class is completed later
    state_write: dict[str, Templated] = {}


class AgentRunStep(Prompt, BaseStep):
    """Runs an agent of the author's crew; its output is the agent's final text."""

    type: Literal["agent_run"]


class CallPipelineStep(Called, BaseStep):
    """Runs another routine within this run."""

    type: Literal["call_pipeline"]


class HttpStep(BaseStep):
    """Sends one HTTP request."""

    type: Literal["http"]
    http: Request


class CodeStep(BaseStep):
    """Evaluates an expression or executes a program."""

    type: Literal["code"]
    code: Code


class WaitStep(BaseStep):
    """Waits for a person, a time or an event."""

    type: Literal["wait"]
    wait: Waiting


class TransformStep(BaseStep):
    """Takes a part of a text that is JSON."""

    type: Literal["transform"]
    transform: Transformation


class NotifyStep(BaseStep):
    """Sends a notice to people."""

    type: Literal["notify"]
    notify: Notice


class ScriptStep(BaseStep):
    """Executes a program of the crew's shared files."""

    type: Literal["script"]
    script: Script


class QueryStep(BaseStep):
    """Reads figures of the workspace's runs."""

    type: Literal["query"]
    query: RunQuery


class CrewshipStep(Act, BaseStep):
    """Acts in the workspace."""

    type: Literal["crewship"]


class Loop(Part):
    """`parallelism`: 0 is the most."""

    items: NeededTemplate
    item_name: StepId = Field(default="item", alias="as")
    parallelism: int = Field(default=0, ge=0)
    steps: list["Step"] = Field(min_length=1, max_length=MOST_STEPS)


class ForeachStep(BaseStep):
    """Runs its body once for each element of a list."""

    type: Literal["foreach"]
    foreach: Loop


Step = Annotated[
    AgentRunStep
    | CallPipelineStep
    | HttpStep
    | CodeStep
    | WaitStep
    | TransformStep
    | NotifyStep
    | ScriptStep
    | QueryStep
    | ForeachStep
    | CrewshipStep,
    Field(discriminator="type"),
]


class RoutineInput(Part):
    """A value that a run is given. `min` and `max` bound numbers, and the lengths of texts and lists."""

    name: NeededText
    type: Literal["string", "integer", "number", "boolean", "array", "object"] = "string"
    required: bool = False
    default: Any = None
    description: str | None = None
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not _PLAIN_NAME.fullmatch(self.name):
            raise ValueError("a name has no blanks and no braces")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) exceeds max ({self.max:g})")
        return self


class RoutineOutput(Part):
    """Documentation only."""

    name: str
    type: str
    description: str | None = None


class NeededCredential(Part):
    """`scope` is documentation."""

    type: NeededText
    scope: str | None = None


class Datastore(Part):
    """A datastore that the crew must have."""

    type: RoutineName
    name: str | None = None
    note: str | None = None


class NeededTool(Part):
    """A tool that the crew must have."""

    type: RoutineName
    name: str | None = None


class Resources(Part):
    """Requirements of a run: the crew has them before it begins."""

    datastores: list[Datastore] = Field(default=[], max_length=32)
    tools: list[NeededTool] = Field(default=[], max_length=32)


class ExecutionTier(Part):
    """`preferred` stands in for the complexity of steps that name none."""

    preferred: Complexity | None = None
    fallback: list[Complexity] = []


class InjectionGuard(Part):
    """An unknown word counts as absent."""

    action: Literal["block", "sanitize", "log"] = "block"

    @field_validator("action", mode="before")
    @classmethod
    def _known(cls, word: Any) -> Any:
        return word if word in ("block", "sanitize", "log") else "block"


class InputGuards(Part):
    """Guards of the texts that models are given."""

    prompt_injection: InjectionGuard = InjectionGuard()


class Guardrails(Part):
    """Guards of a routine."""

    input: InputGuards = InputGuards()


class RoutineHooks(Part):
    """Steps around a run."""

    before_all: Step | None = None
    after_all: Step | None = None
    on_failure: Step | None = None


class OnlineEval(Part):
    """The share of completed runs that a grader judges later."""

    sample_rate: float = Field(default=0, ge=0, le=1)
    grader_agent_slug: str | None = None


class Evaluation(Part):
    """Judgement of runs after their end."""

    online: OnlineEval = OnlineEval()


def _one_line(text: str) -> str:
    if text != text.strip():
        raise ValueError("must not begin or end with blanks")
    if len(text.splitlines()) > 1:
        raise ValueError("must be one line")
    return text


CommandLabel = Annotated[str, StringConstraints(max_length=80), AfterValidator(_one_line)]


class SlashCommand(Part):
    """The routine as a command in chats."""

    enabled: bool = False
    label: CommandLabel | None = None
    label_cs: CommandLabel | None = None
    icon: Annotated[str, StringConstraints(pattern="^[a-z0-9-]*$", max_length=40)] | None = None


def _host(text: str) -> str:
    if text.strip() in ("", "*", "*.*"):
        raise ValueError("matches no host: name a host; its subdomains are included")
    return text


def _slug(text: str) -> str:
    made = text.strip().lower()
    if not made or len(made) > 64:
        raise ValueError("must have 1 to 64 characters")
    return made


class Routine(Part):
    """A whole document. `max_cost_usd` of 0 is no limit; `max_concurrent` has a meaning with a key only."""

    dsl_version: Literal["1.0"] = "1.0"
    name: RoutineName
    display_name: str | None = None
    description: str | None = None
    inputs: list[RoutineInput] = []
    outputs: list[RoutineOutput] = []
    steps: list[Step] = Field(min_length=1, max_length=MOST_STEPS)
    parallelism: Literal["explicit", "auto", "off"] = "explicit"
    egress_targets: list[Annotated[str, AfterValidator(_host)]] = []
    integrations_required: list[Annotated[str, AfterValidator(_slug)]] = Field(default=[], max_length=64)
    credentials_required: list[NeededCredential] = []
    resources: Resources = Resources()
    concurrency_key: Templated | None = None
    max_concurrent: int = Field(default=1, ge=0)
    max_cost_usd: float = Field(default=0, ge=0)
    estimated_cost_usd: float | None = None
    estimated_duration_seconds: int | None = None
    execution_tier: ExecutionTier = ExecutionTier()
    guardrails: Guardrails = Guardrails()
    hooks: RoutineHooks = RoutineHooks()
    evaluation: Evaluation = Field(default=Evaluation(), alias="eval")
    slash: SlashCommand = SlashCommand()
    agentless: bool = False

    def complexity_of(self, step: BaseStep) -> Complexity:
        return step.complexity or self.execution_tier.preferred or "moderate"


StepHooks.model_rebuild()
Loop.model_rebuild()
