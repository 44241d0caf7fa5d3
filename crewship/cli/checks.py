"""The result of an examination by `crewship doctor`."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Check:
    """`fix` is the remedy; empty if nothing is wrong."""

    name: str
    ok: bool
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        return asdict(self)
