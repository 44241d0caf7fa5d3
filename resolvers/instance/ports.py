"""What operations need of the outside world. `crewship/app.py` plugs implementations in; tests may plug fakes here."""

from typing import Protocol


class Releases(Protocol):
    """Where newer versions of this server are announced."""

    async def latest(self) -> tuple[str, str] | None:
        """(version, address) of the newest release; None when nothing is known, within four seconds."""


class NoReleases:
    """The server asks nobody: it has no outside access unless whoever deploys it plugs one in."""

    async def latest(self) -> tuple[str, str] | None:
        return None
