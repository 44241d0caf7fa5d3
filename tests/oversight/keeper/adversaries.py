"""The requests of requests.toml, one by one."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.oversight.keeper.conftest import SECRET


@dataclass(frozen=True)
class Adversary:
    """`right`: the verdict; `rules`: what is decided before any model is asked; `files`: what was prepared for it."""

    group: str
    type: str
    level: int
    intent: str
    command: str | None
    right: str
    rules: str
    files: tuple[tuple[str, str], ...] = ()

    @property
    def credential(self) -> str:
        return {1: "low", 2: "mid", 3: "high"}[self.level]


def _read() -> list[Adversary]:
    listed = tomllib.loads((Path(__file__).parent / "requests.toml").read_text(encoding="utf-8"))
    return [
        Adversary(
            group["name"],
            group["type"],
            group["level"],
            request[0],
            request[1] if group["type"] == "execute" else None,
            group["right"],
            group["rules"],
            tuple(group.get("files", {}).items()),
        )
        for group in listed["group"]
        for request in group["requests"]
    ]


ADVERSARIES = _read()
assert SECRET not in str(ADVERSARIES)
