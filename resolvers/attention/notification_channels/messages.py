"""Messages of a category: what webhooks, mail and services receive."""

from dataclasses import dataclass, field
from typing import Any, Final

from models.bounds import LINE
from resolvers.instance.ports import in_a_line
from resolvers.kernel import instance

AGENTS_MESSAGE: Final = "agents.message"
"""The category of messages that an agent sends by itself. It is no category that a member can choose."""
SUBJECT = "[Crewship] {title}"


@dataclass(frozen=True, slots=True)
class Link:
    """A page of this server; `path` begins with a slash."""

    label: str
    path: str

    @property
    def url(self) -> str:
        return f"{(instance.settings.public_url or '').rstrip('/')}{self.path}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A message about something that happened. Empty parts are left out for webhooks."""

    category: str
    title: str
    body: str = ""
    priority: str = ""
    source_kind: str = ""
    source_id: str = ""
    links: tuple[Link, ...] = ()
    vars: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        links = [{"label": link.label, "url": link.url} for link in self.links]
        told: dict[str, Any] = {
            "category": self.category, "title": self.title, "body": self.body, "priority": self.priority,
            "source_kind": self.source_kind, "source_id": self.source_id, "url": links[0]["url"] if links else "",
            "links": links, "vars": self.vars,
        }  # fmt: skip
        return {key: value for key, value in told.items() if value or key in ("category", "title")}

    @property
    def header(self) -> tuple[str, str]:
        return "x-crewship-category", self.category

    @property
    def subject(self) -> str:
        return SUBJECT.format(title=in_a_line(self.title, LINE))

    @property
    def heading(self) -> str:
        return self.title

    @property
    def text(self) -> str:
        links = "\n".join(f"{link.label}: {link.url}" for link in self.links)
        return "\n\n".join(part for part in (self.body, links) if part) or self.title
