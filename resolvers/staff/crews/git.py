"""git's view of agents' folders. It runs in the sandbox, and the repository does not decide which programs it runs.

A repository's own configuration names programs: hooks, monitors, filters, ways to compare and to show. So git does not
get it: it reads a folder in the sandbox's own memory, which has the repository's objects, references and index, and an
empty configuration. Attributes of the working tree then name undefined drivers. See ADR 87.
"""

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Annotated, Any, Final

from models.staff.crews import Crew
from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.instance.store import names_of
from resolvers.kernel import Absent, Action, Code, Context, Output, Refusal, Subject, procedure
from resolvers.kernel.ground.pace import Room
from resolvers.staff.crews.files import FilePath, output_of
from resolvers.staff.crews.members import ByCrew

SECONDS: Final = 10.0
MOST: Final = 256 << 10
"""Bytes of a patch (contract: crews, GitDiff)."""
MOST_FILES: Final = 5_000
AT_ONCE, OF_WORKSPACE = 8, 2  # in this process
_ROOM: Final = Room(
    AT_ONCE, OF_WORKSPACE, (f"The workspace already has {OF_WORKSPACE} git requests in progress; try again")
)
_CLEAN: Final = r"""
set -f
exec 2>/dev/null
command -v git >/dev/null || exit 65
r=$PWD; test -d "$r/.git" && g=$(mktemp -d) || exit 66
trap 'rm -rf "$g"' EXIT
for name in objects refs packed-refs logs shallow reftable; do
  { test -f "$r/.git/$name" || test -d "$r/.git/$name"; } && ln -s "$r/.git/$name" $g/$name
done
test -f "$r/.git/HEAD" || exit 66
cp "$r/.git/HEAD" $g/HEAD && { test ! -f "$r/.git/index" || cp "$r/.git/index" $g/index; } || exit 66
c=$r/.git/config; test -f "$c" || c=/dev/null
extension() { GIT_DIR=$g GIT_CONFIG_NOSYSTEM=1 git config --file "$c" --no-includes --get "extensions.$1"; }
format=$(extension objectformat) refs=$(extension refstorage)
printf '[core]\nrepositoryformatversion = 1\nbare = false\n[extensions]\n' >$g/config
test "$format" != sha256 || echo 'objectformat = sha256' >>$g/config
test "$refs" != reftable || echo 'refstorage = reftable' >>$g/config
export GIT_DIR=$g GIT_WORK_TREE="$r" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_OPTIONAL_LOCKS=0 \
  GIT_NO_LAZY_FETCH=1 GIT_NO_REPLACE_OBJECTS=1 GIT_TERMINAL_PROMPT=0 GIT_PAGER=cat GIT_ATTR_NOSYSTEM=1 LC_ALL=C.UTF-8
git rev-parse --git-dir >/dev/null || { test -z "$refs" || exit 67; exit 66; }
"""
NO_GIT, NO_REPOSITORY, TOO_NEW = 65, 66, 67
LOG: Final = "git log -n 20 --no-show-signature --no-decorate --format='%H%x00%s%x00%an%x00%aI%x00' HEAD"
_REASONS: Final = {NO_GIT: "git is not installed", TOO_NEW: "git is older than the repository's format"}
_BASE: Final = r"""
base=$(git rev-parse --verify -q HEAD) || base=$(git hash-object -t tree /dev/null)
for name in remotes/origin/HEAD remotes/origin/main remotes/origin/master heads/main heads/master; do
  name=refs/$name
  if git rev-parse --verify -q "$name^{commit}" >/dev/null; then
    base=$(git merge-base HEAD "$name" || echo "$base"); break
  fi
done
compare="git diff --no-ext-diff --no-textconv --no-color --ignore-submodules=all -M $base"
"""


class GitDiffStatus(StrEnum):
    """The change of a file."""

    modified = "modified"
    added = "added"
    deleted = "deleted"
    renamed = "renamed"


_STATUS: Final = {"A": GitDiffStatus.added, "D": GitDiffStatus.deleted, "R": GitDiffStatus.renamed}


class GitDiffOf(ByCrew):
    """`agent_slug`: in the folder of that agent, otherwise in that of the crew."""

    agent_slug: FilePath = ""


class GitChangedFile(Output):
    """A changed file with its numbers of changed lines; both are 0 for a binary file."""

    path: str
    status: GitDiffStatus
    additions: int
    deletions: int


class GitDiff(Output):
    """`diff` is a patch of at most 256 KiB; `truncated` is set if it was longer. Without a repository only
    `is_repo` is present, and `error` if the check failed.
    """

    is_repo: bool
    files: Annotated[list[GitChangedFile] | None, Absent()] = None
    diff: Annotated[str | None, Absent()] = None
    truncated: Annotated[bool | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None


async def is_repository(ctx: Context, crew_id: str, slug: str) -> bool:
    """Returns true if the folder has a repository of its own. Most have none, and no sandbox is needed to check
    that.
    """
    try:
        found = await output_of(ctx, crew_id).stat("/".join(filter(None, (slug, ".git"))))
    except Refusal as refusal:
        if refusal.code is Code.NOT_FOUND:
            return False
        raise
    return bool(found.kind == "directory")


async def ask_git(ctx: Context, crew_id: str, slug: str, script: str) -> Ran:
    """Runs in the folder. Raises NotRun if there is no sandbox. Callers hold `room_for_git`."""
    commands: Any = ctx.outside.commands
    if commands is None:
        raise NotRun("Commands are disabled on this server", unavailable=True)
    command = CommandOfAgent(ctx.workspace_id or "", "", slug, crew_id, f"{_CLEAN}\n{script}", {}, SECONDS)
    ran: Ran = await commands.run(command)
    return ran


EVEN_DELETED = Subject(Crew, "crew_id", deleted=True)
"""The files of a deleted crew can be compared while they exist."""


def room_for_git(ctx: Context) -> AbstractContextManager[None]:
    """A folder that git takes long for keeps its own workspace waiting, and no other."""
    return _ROOM.place(ctx.workspace_id or "")


GIT_ERRORS = (Code.NOT_FOUND, Code.RATE_LIMITED)


@procedure("crews.git_diff", Action.READ, subject=EVEN_DELETED, errors=GIT_ERRORS, late=True)
async def git_diff(ctx: Context, crew: Crew, data: GitDiffOf) -> GitDiff:
    """Get the differences from the default branch.

    Compares the working tree with the merge base of its branch and the default branch. At most 5,000 files.
    """
    names = names_of(data.agent_slug)
    if len(names) > 1 or not await is_repository(ctx, crew.id, "".join(names)):
        return GitDiff(is_repo=False)
    slug = "".join(names)
    with room_for_git(ctx):
        return await _compared(ctx, crew, slug)


async def _compared(ctx: Context, crew: Crew, slug: str) -> GitDiff:
    try:
        listed = await ask_git(ctx, crew.id, slug, f"{_BASE}\n$compare --raw --numstat -z")
        if listed.exit_code == NO_REPOSITORY:
            return GitDiff(is_repo=False)
        if listed.exit_code:
            return GitDiff(is_repo=False, error=_why(listed))
        shown = await ask_git(ctx, crew.id, slug, f"{_BASE}\n$compare -p | head -c {MOST + 1}")
    except NotRun as reason:
        return GitDiff(is_repo=False, error=str(reason))
    patch = shown.output.encode()
    whole = len(patch) <= MOST and not shown.truncated
    return GitDiff(
        is_repo=True,
        files=changed_files(listed.output),
        diff=patch[:MOST].decode(errors="ignore"),
        truncated=not whole or listed.truncated,
    )


def _why(ran: Ran) -> str:
    return _REASONS.get(ran.exit_code, "git could not compare")


def changed_files(output: str) -> list[GitChangedFile]:
    """Parses `--raw --numstat -z`: statuses first, then numbers of lines, each with the path, or both paths of a
    renamed file.
    """
    parts = iter(output.split("\0"))
    statuses, found = dict[str, GitDiffStatus](), list[GitChangedFile]()
    for part in parts:
        if part.startswith(":"):
            letter = part.rpartition(" ")[2][:1]
            path = next(parts, "")
            path = next(parts, "") if letter in "RC" else path
            statuses[path] = _STATUS.get(letter, GitDiffStatus.modified)
        elif part.count("\t") == 2 and len(found) < MOST_FILES:
            added, deleted, path = part.split("\t", 2)
            if not path:
                next(parts, "")
                path = next(parts, "")
            if path in statuses:
                numbers = [int(number) if number.isdigit() else 0 for number in (added, deleted)]
                found.append(
                    GitChangedFile(path=path, status=statuses[path], additions=numbers[0], deletions=numbers[1])
                )
    return found
