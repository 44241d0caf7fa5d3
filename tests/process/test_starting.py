"""What the start of a server shows, in a terminal and elsewhere, and how steps are shown."""

import io
import json
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crewship.process.progress import Progress
from tests.process.commands import environment, migrated, serving
from tests.process.terminals import terminal

STEPS = ["PostgreSQL runs", "The database is at revision", "The service runs"]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def data_dir() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield migrated(parent / "data")
    shutil.rmtree(parent)


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_start_in_a_terminal_shows_what_it_does_and_the_link_before_any_warning(data_dir: Path) -> None:
    command = (sys.executable, "-m", "crewship", "serve")
    variables = environment(data_dir, TERM="xterm", CREWSHIP_LOG_FORMAT="text")
    async with terminal(*command, env=variables, columns=200) as shown:
        await shown.see("no user exists yet")
        for doing in ("Starting PostgreSQL … 0 s", "Starting the service … 0 s"):
            assert doing in shown.text
        lines = [line.rpartition("\r")[2] for line in shown.text.splitlines()]
        for step in STEPS:
            assert any(re.fullmatch(rf"✓ {step}.*  \d+\.\d s", line) for line in lines), lines
        order = [
            *STEPS,
            "Crewship serves at http://",
            "No user exists yet: create the owner at",
            "no user exists yet: for",
        ]
        assert [shown.text.index(said) for said in order] == sorted(shown.text.index(said) for said in order)
        shown.type("\x03")
        assert await shown.end() == 0


@pytest.mark.slow
def test_a_start_elsewhere_logs_its_steps_and_prints_the_address_first(data_dir: Path) -> None:
    with serving(env=environment(data_dir)) as served:
        assert served.said.startswith("Crewship serves at")
        told = [json.loads(line)["event"] for line in served.logged().splitlines()]
        places = [next(n for n, event in enumerate(told) if event.startswith(step)) for step in STEPS]
        assert places == sorted(places)
        assert "\x1b" not in served.logged()
        assert served.end() == 0


@pytest.mark.slow
def test_lines_of_the_log_stand_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    handler = logging.StreamHandler(screen)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with Progress(screen).step("Working", "Done"):
            time.sleep(0.3)
            logging.getLogger("crewship").warning("beside it")
            time.sleep(0.3)
    finally:
        root.removeHandler(handler)
    assert "\r\x1b[Kbeside it\n" in screen.getvalue()
    assert handler.filters == []
    assert "Working … " in screen.getvalue().partition("beside it")[2]  # it goes on below
    assert re.search(r"\r\x1b\[K\S+✓\S* Done .*\n$", screen.getvalue())


def test_a_step_that_fails_is_not_said_to_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, told = Screen(), list[str]()
    for stream in (screen, io.StringIO()):
        with pytest.raises(ValueError, match="no"), Progress(stream, lambda done, _: told.append(done)).step("A", "B"):
            raise ValueError("no")
    assert told == []
    assert "B" not in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_terminals_that_cannot_or_shall_not(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    with Progress(screen).step("Working", "Done"):
        pass
    assert "\x1b[3" not in screen.getvalue()
    assert ("Working" in screen.getvalue()) == ("NO_COLOR" in variables)
    assert screen.getvalue().endswith("✓ Done  0.0 s\n")
