"""Commands with a credential: one program with its arguments, without a shell (contract: internal.keeper.execute).

The line is parsed like a shell would: text in single quotes is text, and a program is recognised however its name is
quoted. Programs that execute an argument, or read the variables of a process, are refused without a model. No list of
them is complete: the sandbox limits what a command can reach.

A program obeys the files around it: a repository's configuration, a Makefile, a test. So a command begins in an empty
folder, and sees only the files of the crew that it names one by one, as they were when they were judged.
"""

import fnmatch
import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from models.oversight.keeper import COMMAND
from resolvers.kernel import Code, Context, Refusal
from resolvers.rules.agent_folders import OUTPUT

MOST: Final = 16
LARGEST: Final = 1 << 20
"""Bytes of one."""
TOGETHER: Final = 4 << 20
PATH: Final = re.compile(rf"{OUTPUT}/[^\s=@:,;'\"]+")
HIDDEN: Final = "it is a hidden file"
NO_FILE: Final = "it is not a plain file"
TOO_LARGE: Final = f"it is larger than {LARGEST >> 20} MiB, or all are larger than {TOGETHER >> 20} MiB together"
TOO_MANY: Final = f"a command gets at most {MOST} files"


@dataclass(frozen=True, slots=True)
class Inputs:
    """`files` by the paths that the command names; `left_out`: why others are not there."""

    files: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        return "".join(f"[{path} was not provided: {why}]\n" for path, why in self.left_out.items())


def named_in(command: str) -> list[str]:
    """Paths below the crew's folder, in order, wherever they stand in a word: `--file=/output/ada/x`."""
    return list(dict.fromkeys(path for word in words_of(command) for path in PATH.findall(word)))


async def inputs_of(ctx: Context, command: str, *, agent_id: str, crew_id: str | None) -> Inputs:
    """Read as they are now, without following a link."""
    whose = ("agents", agent_id) if crew_id is None else ("crews", crew_id)
    folder = ctx.outside.store.folder("workspaces", ctx.workspace_id or "", *whose, "output", agents=True)
    found, size = Inputs(), 0
    for number, path in enumerate(named_in(command)):
        names = path.removeprefix(f"{OUTPUT}/").split("/")
        if number >= MOST:
            found.left_out[path] = TOO_MANY
        elif any(name.startswith(".") for name in names):
            found.left_out[path] = HIDDEN
        elif (content := await _content(folder, names)) is None:
            found.left_out[path] = NO_FILE
        elif len(content) > LARGEST or size + len(content) > TOGETHER:
            found.left_out[path] = TOO_LARGE
        else:
            found.files[path] = content
            size += len(content)
    return found


async def _content(folder: Any, names: Sequence[str]) -> bytes | None:
    """One byte more than may be given, of one that is larger."""
    try:
        opened = await folder.open("/".join(names))
    except Refusal as refusal:
        if refusal.code in (Code.NOT_FOUND, Code.BAD_REQUEST, Code.CONFLICT):
            return None
        raise
    try:
        content: bytes = await opened.read(0, LARGEST + 1)
    finally:
        opened.close()
    return content


ASSIGNS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=.*", re.DOTALL)
PROCESSES: Final = re.compile(r"(?:^|[^A-Za-z0-9_.-])/*proc(?:/|$)|(?:^|/)environ$")
"""In a path anywhere in a word: `file:///proc/self/environ`, `@/proc/1/environ`."""
DEBUGGERS: Final = frozenset({"gdb", "gdbserver", "lldb", "strace", "ltrace", "valgrind", "perf", "bpftrace"})
TEXT_EDITORS: Final = frozenset(
    {"vi", "vim", "nvim", "view", "vimdiff", "ex", "ed", "emacs", "emacsclient", "nano", "pico"}
)
OTHERS: Final = frozenset({"script", "socat", "at", "batch", "crontab", "m4", "busybox", "toybox", "rlwrap"})
WRAPPERS: Final = frozenset(
    {
        "env", "timeout", "nice", "ionice", "nohup", "setsid", "stdbuf", "time", "xargs", "watch", "flock", "chroot",
        "unshare", "nsenter", "taskset", "chrt", "prlimit", "setpriv", "sudo", "su", "doas", "command", "exec", "eval",
        "builtin", "setarch", "linux32", "linux64", "xvfb-run", "dbus-run-session", "ld.so", "npx", "bunx", "uvx",
    }
)  # fmt: skip
"""Programs that run another program, which is somewhere among their arguments."""
SQL: Final = frozenset({"psql", "pgcli", "mysql", "mariadb", "mycli", "sqlite3", "sqlite", "usql", "sqlplus", "isql"})
OF_SQL: Final = re.compile(
    r"\\(?:!|copy\b.*\bprogram\b|(?:o|g|gx|w|out|setenv|sys|system)\s*[|!A-Za-z]|e\b|ef\b|ev\b|edit\b)"
    r"|\bto\s+program\b|\bfrom\s+program\b|^\s*(?:system|!|host)\b|^\s*\.(?:shell|system|load|once|output\s*\||import\s*\|)",
    re.IGNORECASE | re.DOTALL,
)
"""Commands with which a client of databases runs a program, on its own machine or on the server's."""
RUNS: Final = {
    "git": re.compile(
        r"-c|--config-env(?:=.*)?|--exec-path=.*|--(?:upload|receive)-pack(?:=.*)?|--exec(?:=.*)?|--config(?:=.*)?"
        r"|-O.*|--open-files-in-pager(?:=.*)?|--extcmd(?:=.*)?|--template(?:=.*)?|ext::.*|filter-branch|foreach|bisect"
        r"|difftool|mergetool",
        re.DOTALL,
    ),
    "tar": re.compile(
        r"--(?:to-command|checkpoint-action|use-compress-program|rsh-command|info-script)(?:=.*)?|-[A-Za-z]*[IF]"
    ),
    "find": re.compile(r"-(?:exec|execdir|ok|okdir|fprintf|fprint0?)"),
    "rsync": re.compile(r"-[A-Za-z]*e.*|--rsh(?:=.*)?|--rsync-path(?:=.*)?"),
    "ssh": re.compile(r"-[A-Za-z]*[oF].*"),
    "scp": re.compile(r"-[A-Za-z]*[oFSD].*"),
    "sftp": re.compile(r"-[A-Za-z]*[oFSD].*"),
    "nc": re.compile(r"-[A-Za-z]*[ec]|--(?:sh-)?exec(?:=.*)?"),
    "ncat": re.compile(r"-[A-Za-z]*[ec]|--(?:sh-)?exec(?:=.*)?"),
    "zip": re.compile(r"-[A-Za-z]*TT?|--unzip-command(?:=.*)?"),
    "wget": re.compile(r"--use-askpass(?:=.*)?"),
    "make": re.compile(r"--eval(?:=.*)?|(?:SHELL|MAKEFLAGS)\s*[:?+]?=.*"),
    "less": re.compile(r"\+.*"),
    "man": re.compile(r"-[A-Za-z]*[PH].*|--pager(?:=.*)?|--html(?:=.*)?"),
    "sort": re.compile(r"--compress-program(?:=.*)?"),
    "split": re.compile(r"--filter(?:=.*)?"),
    "curl": re.compile(r"-[A-Za-z]*K.*|--config(?:=.*)?"),
}
"""Arguments by which a program runs another one, or reads how to."""
ALSO: Final = {"gmake": "make", "bsdtar": "tar", "gtar": "tar", "netcat": "nc", "gfind": "find", "gsort": "sort"}


def escape_in(called: Collection[str], words: Sequence[str], patterns: Sequence[str]) -> str:
    """The reason for a refusal; empty if there is none. `called`: the names of the program, and of programs that a
    wrapper may run; `patterns`: words that a shell may expand to others.
    """
    first = words[0] if words else ""
    if ASSIGNS.fullmatch(first):
        return "must begin with the program, without variables before it"
    if first in patterns:
        return "must name a program"
    if "env" in called and len(words) > 1 and _sets(words):
        return "must not use env to split a text or set a variable: the credential's variable is already set"
    if any(PROCESSES.search(word) for word in _spelled(words)) or any(_may_be_proc(word) for word in patterns):
        return "must not read /proc"
    if not (DEBUGGERS | TEXT_EDITORS | OTHERS).isdisjoint(called):
        return "must not call a debugger, an editor, or another program that runs its arguments"
    if not SQL.isdisjoint(called) and any(OF_SQL.search(word) for word in words[1:]):
        return "must not make a database client run a program"
    for name in called:
        flags = RUNS.get(ALSO.get(name, name))
        if flags is not None and _has(flags, name, words):
            return f"must not give {name} an argument that configures it or makes it run another program"
    return ""


def _sets(words: Sequence[str]) -> bool:
    at = next((n for n, word in enumerate(words) if posixpath.basename(word).lower() == "env"), len(words))
    behind = words[at + 1 :]
    return any(
        ASSIGNS.fullmatch(word) or re.fullmatch(r"-[A-Za-z0-9]*S.*|--split-string(=.*)?", word, re.DOTALL)
        for word in behind
    )


def _has(flags: re.Pattern[str], name: str, words: Sequence[str]) -> bool:
    """Searches the arguments of the program. Arguments after `--` do not count, except for git, whose programs follow
    there.
    """
    at = next((n for n, word in enumerate(words) if posixpath.basename(word).lower() == name), 0)
    for number, word in enumerate(words[at + 1 :], at + 1):
        if name != "git" or word != "-c":
            if flags.fullmatch(word):
                return True
        elif "=" in "".join(words[number + 1 : number + 2]) or "." in "".join(words[number + 1 : number + 2]):
            return True
    return False


def _spelled(words: Sequence[str]) -> list[str]:
    """The words unchanged, and without parts of a path that have no meaning."""
    return [each for word in words for each in (word, re.sub(r"/(?:\.?/)+", "/", word), posixpath.normpath(word))]


def _may_be_proc(pattern: str) -> bool:
    """Returns true if a shell may find /proc by the pattern: from the root, or by `..`."""
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    rooted = pattern.startswith("/") or ".." in names
    return rooted and any(fnmatch.fnmatchcase("proc", name.lower()) for name in names)


OPERATORS: Final = frozenset(";|>&`")
OPENINGS: Final = ("<(", "$(", "${")
EVALUATES: Final = re.compile(r"-[A-Za-z]*[ceEp].*|--(eval|command|print)(=.*)?", re.DOTALL)
"""Flags that make an argument a program, which may follow directly; `-p` prints the result."""
INTERPRETERS: Final = (
    "sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "perl", "ruby", "node", "nodejs", "deno", "bun", "php", "lua",
    "luajit", "tclsh", "expect", "rscript", "julia", "pwsh", "elixir", "erl", "guile",
)  # fmt: skip
OF_ITS_OWN: Final = {"php": ("-r", "-B", "-R", "-E"), "deno": ("eval", "repl"), "erl": ("-eval",)}
"""The flags with which an interpreter takes a program, if they differ from the usual ones."""
RUNS_AN_ARGUMENT: Final = re.compile(r"-m\s*(timeit|pdb|cProfile|profile|trace|code|runpy|bdb|doctest)")
"""Modules of Python that take a program as an argument, or read one that they are given."""
PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*")
VERSIONED: Final = re.compile(r"[0-9.]+$")
EDITORS: Final = frozenset({"awk", "gawk", "mawk", "nawk", "original-awk", "sed", "gsed"})
LINE_ENDS: Final = frozenset({"Zl", "Zp", "Cc"})


@dataclass(slots=True)
class Word:
    """A word as a program gets it; `pattern`: a shell may make another one of it."""

    text: str = ""
    pattern: bool = False


@dataclass(slots=True)
class _Line:
    words: list[Word] = field(default_factory=list)
    fault: str = ""


def fault_of(command: str) -> str:
    """The reason to refuse a command; empty if there is none."""
    if not command.strip():
        return "must not be blank"
    if len(command.encode("utf-8", "surrogatepass")) > COMMAND:
        return f"must be at most {COMMAND} bytes"
    if any(unicodedata.category(each) in LINE_ENDS and each != "\t" for each in command):
        return "must not contain control characters or line separators"
    line = _read(command)
    if line.fault:
        return line.fault
    names = [list(_names(word)) for word in line.words]
    if any(name in EDITORS for found in names for name in found):
        return "must not call awk or sed, whose arguments are programs"
    called = {name for found in names for name in found}
    words = [word.text for word in line.words]
    if _evaluates(called, words):
        return "must not give an interpreter a program as an argument"
    may_run = called if not WRAPPERS.isdisjoint(names[0]) else set(names[0])
    return escape_in(may_run, words, [word.text for word in line.words if word.pattern])


def words_of(command: str) -> list[str]:
    """The words as a program gets them, except for a shell's variables and patterns."""
    return [word.text for word in _read(command).words]


def _evaluates(called: set[str], words: Sequence[str]) -> bool:
    is_python = any(PYTHON.fullmatch(name) for name in called)
    if not is_python and called.isdisjoint(INTERPRETERS):
        return False
    own = [flag for name, flags in OF_ITS_OWN.items() if name in called for flag in flags]
    joined = " ".join(words)
    return (
        any(EVALUATES.fullmatch(word) for word in words)
        or any(word == flag or (flag[:1] == "-" and word.startswith(flag)) for word in words for flag in own)
        or (is_python and RUNS_AN_ARGUMENT.search(joined) is not None)
    )


def _names(word: Word) -> Iterator[str]:
    """The names of the program that a word may call. A pattern calls everything that it matches."""
    name = word.text.rsplit("/", 1)[-1].lower()
    yield name
    yield VERSIONED.sub("", name).rstrip("-")
    if word.pattern:
        known = (*INTERPRETERS, "python", "python3", *EDITORS)
        yield from (each for each in known if fnmatch.fnmatchcase(each, name))


def _read(command: str) -> _Line:
    line, quote, at = _Line(), "", 0
    word: Word | None = None
    while at < len(command):
        each, two = command[at], command[at : at + 2]
        at += 1
        if quote == "'":
            quote = "" if each == "'" else quote
            word = _more(word, "" if each == "'" else each)
            continue
        if two == "$'" or each in OPERATORS or two in OPENINGS:
            line.fault = "must not contain shell operators (; | & > ` $( ${ <( $') outside single quotes"
            return line
        if each == "\\" and (not quote or command[at : at + 1] in '\\"$`'):
            word, at = _more(word, command[at : at + 1]), at + 1
        elif each == quote or (not quote and each in "'\""):
            quote, word = ("" if quote else each), _more(word, "")
        elif not quote and each.isspace():
            _ended(line, word)
            word = None
        else:
            word = _more(word, each)
            word.pattern = word.pattern or (not quote and each in "*?[") or each == "$"
    if quote:
        line.fault = "has an unclosed quote"
    _ended(line, word)
    return line


def _more(word: Word | None, text: str) -> Word:
    word = word or Word()
    word.text += text
    return word


def _ended(line: _Line, word: Word | None) -> None:
    if word is not None:
        line.words.append(word)
