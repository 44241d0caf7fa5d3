"""How programs that are no interpreters run an argument as a program, or read the variables of a process.

Nobody can list them all: what such a command can reach is bounded by where it runs, and these are refused so that no
model has to know them.
"""

import fnmatch
import posixpath
import re
from collections.abc import Collection, Sequence
from typing import Final

ASSIGNS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=.*", re.DOTALL)
PROCESSES: Final = re.compile(r"(?:^|[^A-Za-z0-9_.-])/*proc(?:/|$)|(?:^|/)environ$")
"""In a path, wherever that stands in a word: `file:///proc/self/environ`, `@/proc/1/environ`."""
DEBUGGERS: Final = frozenset({"gdb", "gdbserver", "lldb", "strace", "ltrace", "valgrind", "perf", "bpftrace"})
EDITORS: Final = frozenset({"vi", "vim", "nvim", "view", "vimdiff", "ex", "ed", "emacs", "emacsclient", "nano", "pico"})
OTHERS: Final = frozenset({"script", "socat", "at", "batch", "crontab", "m4", "busybox", "toybox", "rlwrap"})
WRAPPERS: Final = frozenset(
    {
        "env", "timeout", "nice", "ionice", "nohup", "setsid", "stdbuf", "time", "xargs", "watch", "flock", "chroot",
        "unshare", "nsenter", "taskset", "chrt", "prlimit", "setpriv", "sudo", "su", "doas", "command", "exec", "eval",
        "builtin", "setarch", "linux32", "linux64", "xvfb-run", "dbus-run-session", "ld.so", "npx", "bunx", "uvx",
    }
)  # fmt: skip
"""What runs another program, which stands somewhere among its arguments."""
SQL: Final = frozenset({"psql", "pgcli", "mysql", "mariadb", "mycli", "sqlite3", "sqlite", "usql", "sqlplus", "isql"})
OF_SQL: Final = re.compile(
    r"\\(?:!|copy\b.*\bprogram\b|(?:o|g|gx|w|out|setenv|sys|system)\s*[|!A-Za-z]|e\b|ef\b|ev\b|edit\b)"
    r"|\bto\s+program\b|\bfrom\s+program\b|^\s*(?:system|!|host)\b|^\s*\.(?:shell|system|load|once|output\s*\||import\s*\|)",
    re.IGNORECASE | re.DOTALL,
)
"""What makes a client of databases run a program, on its own machine or on the server's."""
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
    """Why it is refused; empty where nothing is against it. `called`: the names of the program, and of those that a
    wrapper may run; `patterns`: words of which a shell may make others.
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
    if not (DEBUGGERS | EDITORS | OTHERS).isdisjoint(called):
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
    """Behind the program. What stands behind `--` is no argument of that kind, but for git, whose programs follow."""
    at = next((n for n, word in enumerate(words) if posixpath.basename(word).lower() == name), 0)
    for number, word in enumerate(words[at + 1 :], at + 1):
        if name != "git" or word != "-c":
            if flags.fullmatch(word):
                return True
        elif "=" in "".join(words[number + 1 : number + 2]) or "." in "".join(words[number + 1 : number + 2]):
            return True
    return False


def _spelled(words: Sequence[str]) -> list[str]:
    """As they are, and with what a path can be written with and means nothing."""
    return [each for word in words for each in (word, re.sub(r"/(?:\.?/)+", "/", word), posixpath.normpath(word))]


def _may_be_proc(pattern: str) -> bool:
    """Whether a shell may find /proc by it: from the root, or by going back to it."""
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    rooted = pattern.startswith("/") or ".." in names
    return rooted and any(fnmatch.fnmatchcase("proc", name.lower()) for name in names)
