"""The display of a conversation in a terminal. The agent's words go to stdout, everything else to stderr.

Words are printed as they arrive and never rewritten, so that the terminal wraps and scrolls them normally; the one line
that is redrawn, the progress, is erased before anything else is printed.
"""

import json
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

KEPT = "\n\t"
STEADY = 4.0  # redraws of the waiting line a second


def printable(text: str) -> str:
    """Removes control characters: an agent's text must not control the terminal."""
    if text.isprintable():
        return text
    return "".join(c for c in text.replace("\r\n", "\n") if c in KEPT or unicodedata.category(c) != "Cc")


def one_line(text: str, width: int) -> str:
    """The text in one line of at most `width` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


class Screen:
    """Two streams that share one terminal, if they have one."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.console = Console(file=err or sys.stderr, highlight=False, emoji=False, markup=False)
        self.in_terminal = self._out.isatty()
        self._waiting: Status | None = None
        self._open_line = False  # words stand in the line that the cursor is in

    def wait(self, what: str) -> None:
        """Shows what the program waits for until it prints something else. Only in a terminal."""
        if not self.console.is_terminal or self._open_line:
            return
        if self._waiting is None:
            self._waiting = self.console.status(Text(what, "dim"), spinner_style="dim", refresh_per_second=STEADY)
            self._waiting.start()
        else:
            self._waiting.update(Text(what, "dim"))

    def settle(self) -> None:
        """Removes the waiting line."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def words(self, text: str) -> None:
        """A piece of the reply."""
        shown = printable(text)
        if not shown:
            return
        self.settle()
        self._out.write(shown)
        self._out.flush()
        self._open_line = not shown.endswith("\n")

    def speaker(self, name: str) -> None:
        """Prints the next speaker's name; programs get the words alone."""
        self.settle()
        if self.in_terminal:
            self._out.write(f"\x1b[1;36m{printable(name)}>\x1b[0m ")
            self._open_line = True

    def close_line(self) -> None:
        if self._open_line:
            self._out.write("\n")
            self._out.flush()
            self._open_line = False

    def note(self, text: str, style: str = "dim") -> None:
        """A line about the conversation."""
        self.settle()
        self.close_line()
        self.console.print(Text(printable(text), style), soft_wrap=True)

    def trouble(self, text: str) -> None:
        self.note(text, "red")

    def tool(self, name: str, given: Any) -> None:
        """One line for a call of a tool, cut where the terminal ends."""
        said = (
            ""
            if given in (None, {}, "")
            else given
            if isinstance(given, str)
            else json.dumps(given, ensure_ascii=False)
        )
        self.note(one_line(f"· {name} {said}", self.console.width))

    def tool_failed(self, result: str) -> None:
        self.note("  " + one_line(f"failed: {result}", self.console.width - 2))

    def result(self, metadata: Mapping[str, Any], seconds: float) -> None:
        """Prints tokens, time and money of the turn, as far as they are known."""
        self.note("  " + " · ".join(_taken(metadata, seconds)))

    def ask(self, prompt: str) -> str:
        """A line from the user. Raises EOFError at the end of input."""
        self.settle()
        self.close_line()
        if not self.in_terminal:
            self.console.print(Text(prompt), end="")
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")
        # readline must know which characters take no room
        return input(f"\x01\x1b[1m\x02{prompt}\x01\x1b[0m\x02")


def _taken(metadata: Mapping[str, Any], seconds: float) -> list[str]:
    usage = metadata.get("usage") or {}
    counts = [(usage.get("input_tokens"), "in"), (usage.get("output_tokens"), "out")]
    tokens = ", ".join(f"{count:,} {way}" for count, way in counts if isinstance(count, int))
    given = metadata.get("duration_ms")
    taken = [f"{tokens} tokens"] if tokens else []
    taken.append(f"{given / 1000 if isinstance(given, int | float) else seconds:.1f} s")
    cost = metadata.get("total_cost_usd")
    return [*taken, f"${cost:.4f}"] if isinstance(cost, int | float) and cost > 0 else taken
