"""Profiles: the server and token of a command, each in a file of its own that only its owner can read.

One of them is in use. A file is written completely or not at all, and each command reads it again.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
DEFAULT: Final = "default"  # the name of a profile that was given none
NAMED: Final = "CREWSHIP_PROFILE"
VARIABLES: Final = {"server": "CREWSHIP_SERVER", "token": "CREWSHIP_TOKEN", "workspace": "CREWSHIP_WORKSPACE"}
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ClientError(Exception):
    """A request that cannot be fulfilled; the text gives the reason and a remedy."""


@dataclass(frozen=True)
class Profile:
    """A server, a token, and a workspace."""

    server: str = DEFAULT_SERVER
    token: str | None = field(default=None, repr=False)
    workspace: str | None = None


def home() -> Path:
    """The directory of the profiles."""
    place = os.environ.get("XDG_CONFIG_HOME") or ""
    return (Path(place) if place.startswith("/") else Path.home() / ".config") / "crewship"


def place_of(wanted: str) -> Path:
    """The file of a profile: of a name, or, where there is a slash in it, the file itself."""
    if "/" in wanted:
        return Path(wanted)
    if not NAME.fullmatch(wanted):
        raise ClientError(f"{wanted!r} is not a valid profile name: use letters, digits, dots, - and _")
    return home() / "profiles" / wanted


def named_around() -> str | None:
    """The profile that the environment names."""
    return os.environ.get(NAMED) or None


def names() -> list[str]:
    try:
        return sorted(each.name for each in (home() / "profiles").iterdir() if NAME.fullmatch(each.name))
    except OSError:  # there is none, or its home may not be looked into
        return []


def in_use() -> str:
    """The name of the profile that commands use by default; it may not exist."""
    try:
        return (home() / "in-use").read_text(encoding="utf-8").strip() or DEFAULT
    except (OSError, ValueError):
        return DEFAULT


def use(name: str) -> None:
    _check_known(name)
    write_secret(home() / "in-use", f"{name}\n")


def remove(name: str) -> Profile:
    """Returns the removed profile. The server is not informed."""
    _check_known(name)
    kept = read(place_of(name))
    place_of(name).unlink(missing_ok=True)
    if in_use() == name:
        (home() / "in-use").unlink(missing_ok=True)
    return kept


def _check_known(name: str) -> None:
    if name in names():
        return
    known = ", ".join(names())
    there = f"there are: {known}" if known else "there are none yet"
    raise ClientError(f"there is no profile {name!r}; {there}. `crewship login --profile NAME` creates one")


def find_profile(given: Mapping[str, str | None], wanted: str | None = None) -> Profile:
    """Options of the command line take precedence over a named profile (by option or CREWSHIP_PROFILE), then the
    environment, then the profile in use. A token is valid only for the server of its profile. Raises ClientError for an
    unknown profile.
    """
    named = wanted or named_around()
    if named is not None and "/" not in named:
        place_of(named)  # is it a name?
        _check_known(named)
    around = {name: os.environ.get(variable) or None for name, variable in VARIABLES.items()}
    if named is not None:
        kept, order = _of(place_of(named)), "given kept around"
    elif given.get("token") or around["token"] or in_use() not in names():
        kept, order = {}, "given around"
    else:
        kept, order = _of(place_of(in_use())), "given around kept"
    sources = {"given": given, "kept": kept, "around": around}
    ways: list[Mapping[str, str | None]] = [sources[way] for way in order.split()]
    server = next((str(way["server"]) for way in ways if way.get("server")), DEFAULT_SERVER)
    if not _same(kept.get("server"), server):
        ways = [sources[way] for way in order.split() if way != "kept"]
    token, workspace = (next((way[name] for way in ways if way.get(name)), None) for name in ("token", "workspace"))
    return Profile(checked(server), token, workspace)


def checked(server: str) -> str:
    """The address of a server, which it has to be."""
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClientError(f"the server {server!r} is not a URL; give one such as {DEFAULT_SERVER}")
    return server


def _same(kept: str | None, server: str) -> bool:
    return kept is None or kept.rstrip("/") == server.rstrip("/")


def _of(file: Path) -> dict[str, str | None]:
    kept = _variables(file)
    return {name: kept.get(variable) or None for name, variable in VARIABLES.items()}


def read(file: Path) -> Profile:
    kept = _of(file)
    return Profile(kept["server"] or DEFAULT_SERVER, kept["token"], kept["workspace"])


def _variables(file: Path) -> dict[str, str]:
    """Lines `NAME=value`, as a shell reads them."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        words = [word for line in lines for word in shlex.split(line, comments=True)]
    except OSError as error:
        raise ClientError(f"the profile {file} cannot be read ({error.strerror})") from None
    except ValueError:
        raise ClientError(
            f"the profile {file} cannot be read: it takes lines such as CREWSHIP_SERVER={DEFAULT_SERVER}"
        ) from None
    return dict(word.split("=", 1) for word in words if "=" in word)


def write(file: Path, profile: Profile) -> None:
    """A file that only its owner may read. Raises ClientError."""
    said = {
        VARIABLES[name]: value
        for name, value in (("server", profile.server), ("token", profile.token), ("workspace", profile.workspace))
        if value
    }
    write_secret(file, "".join(f"{name}={shlex.quote(value)}\n" for name, value in said.items()))


def write_secret(file: Path, text: str) -> None:
    from crewship.process.private_files import write_secret as write_whole

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(file, text)
    except OSError as error:
        raise ClientError(f"{file} cannot be written ({error.strerror})") from None
