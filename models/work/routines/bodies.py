"""The bodies of steps: the mapping under the key of each type."""

import re
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from models.work.routines.parts import (
    CredentialRef,
    NeededTemplate,
    NeededText,
    Part,
    RoutineName,
    Templated,
)

LARGEST_RESPONSE: Final = 50_000_000
LARGEST_CODE: Final = 1_000_000
LONGEST_WINDOW: Final = 720
MOST_SIDE_BY_SIDE: Final = 12
MOST_ELEMENTS: Final = 10_000
SHARED: Final = PurePosixPath("/crew/shared")
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

NotificationCategory = Literal[
    "routines.completed", "routines.failed", "routines.skipped", "routines.missed", "issues.created", "issues.state",
    "issues.assigned", "issues.comment", "agents.approval", "agents.escalation", "agents.error", "agents.budget",
    "system.health", "system.migration", "security", "pages.stale", "chat.replies", "memory",
]  # fmt: skip

ACTIONS: Final = {
    "issue.create": ("title",),
    "issue.update": ("identifier",),
    "issue.comment": ("identifier", "body"),
    "issue.link": ("identifier", "target_identifier", "relation_type"),
    "assignment.create": ("target_slug", "task", "chat_id"),
    "escalation.create": ("from_slug", "reason", "chat_id"),
    "page.write": ("page", "panel", "data"),
}
"""The arguments that each action requires."""

INTERPRETERS: Final = {
    ".py": "python3", ".sh": "bash", ".bash": "bash", ".js": "node", ".mjs": "node", ".cjs": "node", ".ts": "node",
    ".rb": "ruby", ".pl": "perl", ".php": "php", ".go": "go run",
}  # fmt: skip

_TARGET: Final = re.compile(r"workspace|trigger|user:\S+|role:(?i:OWNER|MANAGER)|crew:[a-z0-9][a-z0-9_-]*|")


def _method(text: str) -> str:
    if text.upper() not in METHODS:
        raise ValueError(f"must be one of {', '.join(METHODS)}")
    return text


class Request(Part):
    """One HTTP request; its answer's body is the output."""

    method: Annotated[str, AfterValidator(_method)]
    url: NeededTemplate
    headers: dict[str, Templated] = {}
    body: Templated | None = None
    credential_ref: CredentialRef | None = None
    success_codes: list[Annotated[int, Field(ge=100, le=599)]] = [200, 201, 202, 204]
    max_response_bytes: int = Field(default=1_000_000, ge=0, le=LARGEST_RESPONSE)


class Code(Part):
    """`expr` is one comparison, `cel` one expression; the others are programs for the sandbox.

    A text of CEL is checked when the document is read, unless it has placeholders.
    """

    runtime: Literal["expr", "cel", "python", "node", "bash", "go"]
    code: NeededTemplate
    env: dict[str, Templated] = {}
    version: str | None = None

    @field_validator("code")
    @classmethod
    def _bounded(cls, text: str) -> str:
        if len(text.encode()) > LARGEST_CODE:
            raise ValueError(f"must have at most {LARGEST_CODE} bytes")
        return text


class Transformation(Part):
    """A walk into JSON, or a function of it."""

    input: NeededTemplate
    expression: NeededText


class Waiting(Part):
    """For a person, a time or an event."""

    kind: Literal["approval", "datetime", "event"]
    approval_prompt: Templated | None = None
    until: Templated | None = None
    event_type: Templated | None = None
    event_filter: Templated | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"approval": "approval_prompt", "datetime": "until", "event": "event_type"}[self.kind]
        if not getattr(self, needed):
            raise ValueError(f"a wait of kind {self.kind} requires {needed}")
        return self


class Notice(Part):
    """A notice for people."""

    to: NeededTemplate
    title: Templated | None = None
    body: Templated | None = None
    priority: Literal["urgent", "high", "medium", "low"] = "medium"
    category: NotificationCategory | None = None

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        if not (self.title or self.body):
            raise ValueError("requires a title or a body")
        if "{{" not in self.to and not _TARGET.fullmatch(self.to):
            raise ValueError("to must be workspace, trigger, user:<id>, role:OWNER, role:MANAGER or crew:<slug>")
        return self


class Script(Part):
    """A program among the crew's shared files."""

    path: NeededText
    interpreter: str | None = None
    args: list[Templated] = []
    env: dict[str, Templated] = {}

    @model_validator(mode="after")
    def _runnable(self) -> Self:
        place = PurePosixPath(normpath(SHARED / self.path))
        if SHARED not in place.parents:
            raise ValueError(f"path must stay under {SHARED}/")
        if not self.interpreter and place.suffix not in INTERPRETERS:
            raise ValueError(f"requires an interpreter: none is known for {place.name!r}")
        return self


class RunQuery(Part):
    """Figures of the workspace's runs. A longer window counts as the longest."""

    source: Literal["pipeline_runs"]
    window_hours: int = Field(default=24, ge=0)


class Called(Part):
    """The routine that a step calls."""

    pipeline_slug: RoutineName
    inputs: dict[str, Any] = {}


class Act(Part):
    """An action in the workspace. An argument that is one placeholder alone keeps the type of its value."""

    action: Literal[
        "issue.create", "issue.update", "issue.comment", "issue.link", "assignment.create", "escalation.create",
        "page.write",
    ]  # fmt: skip
    args: dict[str, Any] = {}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in ACTIONS[self.action]:
            value = self.args.get(name)
            if value is None:
                raise ValueError(f"{self.action} requires the argument {name!r}")
            if isinstance(value, str) and not value.strip():
                raise ValueError(f"the argument {name!r} of {self.action} is empty")
        return self


class Prompt(Part):
    """An agent, and what it is asked."""

    agent_slug: RoutineName
    prompt: NeededTemplate
