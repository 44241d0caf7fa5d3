"""Progress for a waiting person: a line for each finished step, and in a terminal a moving one for the current step. It
uses no library, because a start should load none.
"""

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Final

FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
REFRESH: Final = 0.125  # seconds
ERASE: Final = "\r\x1b[K"
Say = Callable[[str, float], None]


class Progress:
    """`plain(done, seconds)` reports a finished step outside terminals; without it the line is printed all the same."""

    def __init__(self, stream: IO[str], plain: Say | None = None) -> None:
        self._stream = stream
        self.moves = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self.moves and not os.environ.get("NO_COLOR")
        self._say = self._written if self.moves or plain is None else plain

    @contextlib.contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """`done` is not printed for a failed step."""
        began = time.monotonic()
        with self._moving(doing, began) if self.moves else contextlib.nullcontext():
            yield
        self._say(done, time.monotonic() - began)

    def _written(self, done: str, seconds: float) -> None:
        print(f"{self._in(32, '✓')} {done}  {self._in(2, f'{seconds:.1f} s')}", file=self._stream, flush=True)

    def _in(self, colour: int, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text

    @contextlib.contextmanager
    def _moving(self, doing: str, began: float) -> Iterator[None]:
        """Log lines appear above the moving line, which continues below them."""
        over, writing = threading.Event(), threading.RLock()

        def move() -> None:
            for frame in itertools.cycle(FRAMES):
                with writing:
                    if over.is_set():
                        return
                    took = f"{time.monotonic() - began:.0f} s"
                    room = self._width() - len(took) - 6  # what wraps is not erased
                    self._put(f"{ERASE}{self._in(36, frame)} {doing[:room]} … {self._in(2, took)}")
                if over.wait(REFRESH):
                    return

        def make_room(record: logging.LogRecord) -> bool:
            with writing:
                self._put(ERASE)
            return True

        handlers = list(logging.getLogger().handlers)
        for handler in handlers:
            handler.addFilter(make_room)
        thread = threading.Thread(target=move, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for handler in handlers:
                handler.removeFilter(make_room)
            self._put(ERASE)

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:
            return 80

    def _put(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone ends no start
            self._stream.write(text)
            self._stream.flush()
