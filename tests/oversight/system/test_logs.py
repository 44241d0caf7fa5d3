"""Log lines: plain tracebacks in both forms, and the id of the request that a line belongs to."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from crewship.process import logs
from resolvers.instance.telemetry import request_id

SECRET = "hunter2-of-a-local-variable"


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers of the process are as before afterwards."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def fail(password: str) -> None:
    kept = {"password": password}
    raise ValueError(f"a {len(kept)} failure")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("library", [True, False])
def test_a_traceback_shows_no_local_variable(capsys: pytest.CaptureFixture[str], form: str, library: bool) -> None:
    logs.configure("info", form)
    logger = logging.getLogger("some.library") if library else structlog.get_logger("crewship.test")
    try:
        fail(SECRET)
    except ValueError:
        logger.exception("it failed")
    text = capsys.readouterr().err
    assert "it failed" in text
    assert "ValueError: a 1 failure" in text
    assert "in fail" in text
    assert SECRET not in text


@pytest.mark.parametrize("library", [True, False])
def test_a_json_line_is_one_object(capsys: pytest.CaptureFixture[str], library: bool) -> None:
    logs.configure("info", "json")
    logger = logging.getLogger("some.library") if library else structlog.get_logger("crewship.test")
    logger.warning("a\nline")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "a\nline", "level": "warning", "logger": "some.library" if library else "crewship.test"}


async def _served(id: str, logger: logging.Logger) -> None:
    request_id.set(id)
    await asyncio.sleep(0)
    logger.warning("said by %s", id)


def test_a_line_names_its_request_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logger = logging.getLogger("some.library")

    async def both() -> None:
        await asyncio.gather(asyncio.create_task(_served("a", logger)), asyncio.create_task(_served("b", logger)))
        logger.warning("said by nobody")

    asyncio.run(both())
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["event"]: line.get("request_id") for line in lines} == {
        "said by a": "a",
        "said by b": "b",
        "said by nobody": None,
    }


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)])
def test_the_level_holds_for_every_logger(capsys: pytest.CaptureFixture[str], level: str, shown: int) -> None:
    logs.configure(level, "json")
    for logger in (logging.getLogger("some.library"), structlog.get_logger("crewship.test")):
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)("x")
    assert len(capsys.readouterr().err.splitlines()) == 2 * shown
