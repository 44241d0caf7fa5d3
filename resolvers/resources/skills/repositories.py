"""The SKILL.md files of a git repository, over https: one commit of it, by git's own protocol and the one way out.

No git runs here, and nothing is written: what comes is a pack, which is read in memory and within bounds.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from models import bounds
from resolvers.instance.outbound import Outbound, Policy
from resolvers.kernel import Code, Context, Refusal
from resolvers.resources.skills.fetching import get
from resolvers.resources.skills.packs import Pack, PackFault

SECONDS: Final = 90
MOST_ANSWERED: Final = 32 << 20
MOST_FILES: Final = 500
SERVICE: Final = "/info/refs?service=git-upload-pack"
WITHOUT: Final = frozenset({".git", "node_modules", "vendor"})
REF: Final = re.compile(r"(?!-)[A-Za-z0-9._/-]{1,255}")
ID: Final = re.compile(r"[0-9a-f]{40}")
ABILITIES: Final = "side-band-64k ofs-delta shallow no-progress agent=crewship"


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files with their paths; None for one that is too long. `truncated`: there were more."""

    files: Sequence[tuple[str, bytes | None]]
    truncated: bool


async def skills_in(ctx: Context, url: str, ref: str) -> FoundFiles:
    """BAD_GATEWAY, with a short reason, if the repository does not exist or is too large."""
    if ref and (REF.fullmatch(ref) is None or ".." in ref):
        raise Refusal(Code.BAD_GATEWAY, "git_ref: is no name of a branch or tag")
    try:
        async with (
            asyncio.timeout(SECONDS),
            ctx.outside.http(Policy.PUBLIC, timeout=SECONDS, most=MOST_ANSWERED) as http,
        ):
            commit, pack = await _cloned(http, url, ref)
            return await asyncio.to_thread(_found, commit, pack)
    except TimeoutError:
        raise Refusal(Code.BAD_GATEWAY, f"The server did not answer within {SECONDS} seconds") from None
    except PackFault as fault:
        raise Refusal(Code.BAD_GATEWAY, str(fault)) from None
    except Refusal as refusal:
        raise Refusal(Code.BAD_GATEWAY, refusal.detail.replace("url:", "git_url:", 1)) from None


async def _cloned(http: Outbound, url: str, ref: str) -> tuple[str, bytes]:
    """The name of a commit or tag, and the pack of what belongs to it."""
    at, told = await get(http, url.rstrip("/") + SERVICE)
    if told.status != 200 or not at.endswith(SERVICE):
        raise PackFault(f"The server answered with status {told.status}")
    refs, can = _advertised(told.body)
    wanted = _chosen(refs, ref)
    filters = "filter" in can
    asked = _line(f"want {wanted} {ABILITIES}{' filter' * filters}\n") + _line("deepen 1\n")
    asked += _line(f"filter blob:limit={bounds.SKILL + 1}\n") * filters + b"0000" + _line("done\n")
    kind = "application/x-git-upload-pack-request"
    answer = await http.post(at.removesuffix(SERVICE) + "/git-upload-pack", asked, headers={"content-type": kind})
    if answer.status != 200:
        raise PackFault(f"The server answered with status {answer.status}")
    return wanted, _pack_in(answer.body)


def _found(commit: str, data: bytes) -> FoundFiles:
    pack = Pack.read(data, bounds.SKILL)
    files = list[tuple[str, bytes | None]]()
    for file in pack.files(pack.tree_of(commit), "SKILL.md", WITHOUT):
        if len(files) == MOST_FILES:
            return FoundFiles(files, truncated=True)
        files.append(file)
    return FoundFiles(files, truncated=False)


def _line(text: str) -> bytes:
    return b"%04x" % (len(text) + 4) + text.encode()


def _lines(data: bytes) -> Iterator[bytes | None]:
    """pkt-lines; None for a flush."""
    position = 0
    while position < len(data):
        try:
            size = int(data[position : position + 4], 16)
        except ValueError:
            raise PackFault("The server does not speak git's protocol") from None
        if size < 4:
            yield None
            position += 4
            continue
        if position + size > len(data):
            raise PackFault("The server broke off")
        yield data[position + 4 : position + size]
        position += size


def _advertised(body: bytes) -> tuple[dict[str, str], frozenset[str]]:
    """Object names by ref, and the capabilities of the server."""
    refs, can = dict[str, str](), frozenset[str]()
    for line in _lines(body):
        if line is None or line.startswith(b"#"):
            continue
        text, _, more = line.partition(b"\0")
        id, _, name = text.decode("utf-8", "replace").strip().partition(" ")
        if ID.fullmatch(id) is None:
            raise PackFault("The server does not speak git's protocol")
        refs[name] = id
        can |= frozenset(more.decode("ascii", "replace").split())
    if "side-band-64k" not in can or "shallow" not in can:
        raise PackFault("The server cannot send one commit alone")
    return refs, can


def _chosen(refs: dict[str, str], ref: str) -> str:
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref) if ref else ("HEAD", "refs/heads/main"):
        if name in refs:
            return refs[name]
    if ID.fullmatch(ref):
        return ref
    raise PackFault("git_ref: there is no such branch or tag" if ref else "The repository is empty")


def _pack_in(body: bytes) -> bytes:
    parts = list[bytes]()
    for line in _lines(body):
        if line is None or line.startswith((b"shallow ", b"unshallow ", b"NAK", b"ACK")):
            continue
        if line[:1] == b"\1":
            parts.append(line[1:])
        elif line[:1] == b"\3" or line.startswith(b"ERR"):
            raise PackFault("The server refused to send the commit")
    return b"".join(parts)
