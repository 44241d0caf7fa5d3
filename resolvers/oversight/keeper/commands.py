"""Which commands may be run with a credential: one program with its arguments, and nothing that a shell makes of it
(contract: internal.keeper.execute).

The line is read as a shell reads it, quotes and escapes included: what stands in single quotes is text, and a program
is found under its name however it is quoted.
"""

import fnmatch
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.oversight.keeper import COMMAND
from resolvers.oversight.keeper.escapes import WRAPPERS, escape_in

OPERATORS: Final = frozenset(";|>&`")
OPENINGS: Final = ("<(", "$(", "${")
EVALUATES: Final = re.compile(r"-[A-Za-z]*[ceEp].*|--(eval|command|print)(=.*)?", re.DOTALL)
"""Flags that make an argument a program, which may stand right behind them; `-p` prints what it evaluates."""
INTERPRETERS: Final = (
    "sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "perl", "ruby", "node", "nodejs", "deno", "bun", "php", "lua",
    "luajit", "tclsh", "expect", "rscript", "julia", "pwsh", "elixir", "erl", "guile",
)  # fmt: skip
OF_ITS_OWN: Final = {"php": ("-r", "-B", "-R", "-E"), "deno": ("eval", "repl"), "erl": ("-eval",)}
"""How an interpreter takes a program where others have another flag."""
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
    """Why it cannot be run; empty where nothing is against it."""
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
    """As a program gets them, but for what a shell puts in the place of variables and patterns."""
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
    """Of the program that a word may call. A pattern calls whatever it matches."""
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
