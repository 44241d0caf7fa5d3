"""The interface of the runtime and its adapters: the work, the output, and the end."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict, TypeVar, runtime_checkable

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from models.staff.runs import ChatEventType
from resolvers.resources.costs.money import shown
from resolvers.rules.consent import ConsentGate, ConsentQuestion
from resolvers.staff.runs.booking import Charge as Charge

T = TypeVar("T")
BUDGET_EXCEEDED = "budget_exceeded"
"""The reason in the metadata of a run that a budget did not let start, or go on."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message of the chat, oldest first in a Job."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Worker:
    """The agent, as an adapter needs it."""

    id: str
    slug: str
    name: str
    crew_id: str | None
    crew_slug: str | None
    system_prompt: str
    cli_adapter: CliAdapter
    llm_provider: LlmProvider | None
    llm_model: str | None
    tool_profile: ToolProfile
    persona: str = ""
    """The agent's own persona, or its crew's."""


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill of the agent. `missing`: environment variables that it needs and does not have."""

    slug: str
    description: str
    content: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One run. `history` has none of its turns; `max_turns`: calls of a model; `timeout_seconds`: of the whole run."""

    run_id: str
    workspace_id: str
    chat_id: str | None
    agent: Worker
    prompt: str
    history: tuple[Turn, ...] = ()
    max_turns: int = 50
    timeout_seconds: float = 1800.0
    max_tokens: int | None = None
    """Input and output of all calls of the model together; None: no cap."""
    bought: bool = False
    """`max_tokens` is what `max_cost` buys: a run that has used them has used its money."""
    gates: tuple[ConsentGate, ...] = ()
    """Tool calls that need a user's consent, beside those that always do."""
    max_cost: int | None = None
    """Millionths of a US dollar that its calls may cost; None: no limit. The last call may go beyond it."""
    skills: tuple[Skill, ...] = ()
    attachments: tuple[str, ...] = ()
    """Paths of the files that people attached to the chat, as the agent knows them."""
    restricted: bool = False
    """The network of its processes is restricted, regardless of the crew's mode."""
    runner: str | None = None
    """The runner that executes its tools; None: this service does."""
    hooked: bool = False
    """The workspace has hooks, which may be for events of the run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an adapter. Without `error` it did its work, possibly without a reply (contract: chats.behaviour
    19-21).

    `data` goes into the run's metadata: `total_cost_usd`, `num_turns`, `usage`, `model_usage`, `model` if known.
    """

    error: str | None = None
    exit_code: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Sink(Protocol):
    """Receives an adapter's output, and makes its steps durable."""

    async def emit(self, type: ChatEventType, content: str = "", metadata: dict[str, Any] | None = None) -> None:
        """One event of the turn (contract: events.chat_event_types). Only in a step: finished, it is never shown twice.

        May wait while the reader of the frames is behind. Raises StuckLoop at the fifth same tool call in a row.
        """

    async def step(self, name: str, body: Callable[[], Awaitable[T]], *, acts: bool = False) -> T:
        """Runs `body` once in the life of the run, and returns its outcome again when another process takes the run
        over.

        `name` is unique in the run and the same in every attempt. The result of `body` must be JSON. `acts`: it has an
        outside effect (a tool): if it began without a recorded end, it is not repeated; then, as for a step that had
        shown something, Interrupted is raised and the run ends with the recovery message.
        """

    def charge(self, charge: Charge) -> None:
        """The usage of the step's one model call: booked once, with its outcome. Only inside a step."""


@runtime_checkable
class Priced(Protocol):
    """An adapter that knows the price of its model."""

    async def tokens_for(self, micros: int) -> int | None:
        """The number of input tokens for that many millionths of a US dollar; None if the price is unknown."""


class ApprovalStep(TypedDict):
    """The outcome of a step: the approval, and whether the call waits for it."""

    approval_id: str
    waits: bool


class Decision(TypedDict):
    """The outcome of a step. Without consent, the model receives `why`."""

    granted: bool
    why: str


class Consent(Protocol):
    """Asks users before a tool is used."""

    async def ask(
        self, job: Job, call: str, tool: str, arguments: dict[str, Any], question: ConsentQuestion
    ) -> ApprovalStep:
        """Once for each call of a run, however often."""

    async def decision(self, approval_id: str, job: Job) -> Decision | None:
        """The decision; None while there is none."""


class ToolHooks(Protocol):
    """Hooks of the workspace that run before a tool is used."""

    async def before_tool(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """The reason to refuse the call, or None."""


class Adapter(Protocol):
    """Does the work of a run. Cancellable at every await; must not swallow CancelledError."""

    name: str

    async def run(self, job: Job, sink: Sink) -> Outcome: ...


def over_budget(micros: int) -> Outcome:
    """The end of a run that has used its reserved money."""
    error = f"The run has used the {shown(micros)} that its budget left to it, and was ended before the work was done."
    return Outcome(error=error, data={"reason": BUDGET_EXCEEDED})


class Interrupted(Exception):
    """A step was cut off after it had shown or done something; it cannot be repeated."""


class Waiting(Exception):
    """The run continues when a user has decided; until then no worker holds it."""

    def __init__(self, approval_id: str) -> None:
        super().__init__(approval_id)
        self.approval_id = approval_id


class StuckLoop(Exception):
    """The same tool call with the same input, five times in a row (contract: chats.behaviour 17)."""


class Failed(Exception):
    """The work cannot be done, for a reason the user may read: no key, an unknown model, a provider that refuses."""


class NoContainer(Failed):
    """The agent's container does not run. `code`: the reason for programs (contract: chats, RuntimeErrorCode)."""

    def __init__(self, text: str, code: str = "provision_failed") -> None:
        super().__init__(text)
        self.code = code
