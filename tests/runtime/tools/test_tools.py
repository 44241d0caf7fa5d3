"""The tools as a model uses them: what they are called with, what comes back; nothing is thrown at the loop."""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from models.staff.agents import CliAdapter, ToolProfile
from runtime.runs.job import Job, Worker
from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap
from runtime.tools import CONTENT, Tool, ToolResult, tools_for
from tests.runtime.sandbox.machine import workdir_in

pytestmark = pytest.mark.anyio


def job(profile: ToolProfile = ToolProfile.CODING) -> Job:
    worker = Worker("id-bob", "bob", "Bob", "crew1", "crew", "", CliAdapter.CLAUDE_CODE, None, None, profile)
    return Job("run1", "ws1", "chat1", worker, "")


@pytest.fixture
def tools(workdir: Workdir) -> dict[str, Tool]:
    """Without a sandbox: the file tools need none."""
    os.close(workdir.open_output())
    return tools_for(job(), Unconfined(), workdir)


@pytest.fixture
def confined(sandbox: Bubblewrap, workdir: Workdir) -> dict[str, Tool]:
    os.close(workdir.open_output())
    return tools_for(job(), sandbox, workdir)


async def use(tools: dict[str, Tool], name: str, **arguments: Any) -> str:
    result = await tools[name].run(arguments)
    assert not result.is_error, result.content
    return result.content


async def refused(tools: dict[str, Tool], name: str, **arguments: Any) -> str:
    result = await tools[name].run(arguments)
    assert result.is_error, result.content
    return result.content


FILES = ["read_file", "write_file", "list_files", "search_files"]


@pytest.mark.parametrize(
    ("profile", "unsafe", "names"),
    [
        (ToolProfile.MINIMAL, True, FILES),
        (ToolProfile.CODING, True, [*FILES, "run_command"]),
        (ToolProfile.FULL, True, [*FILES, "run_command"]),
        (ToolProfile.CODING, False, FILES),
        (ToolProfile.FULL, False, FILES),
    ],
)
async def test_which_tools_there_are(workdir: Workdir, profile: ToolProfile, unsafe: bool, names: list[str]) -> None:
    tools = tools_for(job(profile), Unconfined(unsafe=unsafe), workdir)
    assert list(tools) == names
    assert [tool.name for tool in tools.values()] == names
    assert not workdir.path.exists(), "nothing is made before it is used"


async def test_what_models_are_told(confined: dict[str, Tool]) -> None:
    for tool in confined.values():
        assert tool.description
        assert (tool.parameters["type"], tool.parameters["additionalProperties"]) == ("object", False)
        assert all(
            part["description"] and part["type"] and "title" not in part
            for part in tool.parameters["properties"].values()
        )
        assert "title" not in tool.parameters
    assert confined["write_file"].parameters["required"] == ["path", "content"]
    assert "/output/bob" in confined["run_command"].description


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read_file", {}, "path: Field required"),
        ("read_file", {"path": 3}, "path: Input should be a valid string"),
        ("read_file", {"path": ""}, "path: String should have at least 1 character"),
        ("read_file", {"path": "a", "offset": 0}, "offset: Input should be greater than or equal to 1"),
        ("read_file", {"path": "a", "offset": 10**30}, "offset: Input should be less than or equal to 10000000"),
        ("read_file", {"path": "a", "lines": 3}, "lines: Extra inputs are not permitted"),
        ("write_file", {"path": "a"}, "content: Field required"),
        ("write_file", {"path": "a", "content": None}, "content: Input should be a valid string"),
        ("write_file", {"path": "a", "content": "\ud800"}, "content: Input should be a valid string"),
        ("write_file", {"path": "\ud800", "content": ""}, "path: Input should be a valid string"),
        (
            "write_file",
            {"path": "a", "content": "x" * 2_000_001},
            "content: String should have at most 2000000 characters",
        ),
        ("list_files", {"depth": 17}, "depth: Input should be less than or equal to 16"),
        ("search_files", {"pattern": ""}, "pattern: String should have at least 1 character"),
        ("search_files", {"pattern": "a\nb"}, "A pattern is a part of one line"),
        ("search_files", {"pattern": "a", "regex": "perhaps"}, "regex: Input should be a valid boolean"),
        ("run_command", {}, "command: Field required"),
        ("run_command", {"command": "a\0"}, "A command must not contain NUL"),
        ("run_command", {"command": "x" * 100_001}, "command: String should have at most 100000 characters"),
        (
            "run_command",
            {"command": "true", "timeout_seconds": 0},
            "timeout_seconds: Input should be greater than or equal to 1",
        ),
    ],
)
async def test_wrong_arguments_are_an_answer(workdir: Workdir, name: str, arguments: dict[str, Any], said: str) -> None:
    tools = tools_for(job(), Unconfined(unsafe=True), workdir)
    assert said in await refused(tools, name, **arguments)


async def test_arguments_that_are_no_object(tools: dict[str, Tool]) -> None:
    result = await tools["read_file"].run(["a"])  # type: ignore[arg-type]
    assert result.is_error
    assert result.content.startswith("Wrong arguments for read_file: arguments: ")


class TestFiles:
    async def test_what_is_written_can_be_read(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        assert (
            await use(tools, "write_file", path="a/b/c.txt", content="žluť\n🐴\n")
            == "Made /output/bob/a/b/c.txt: 12 bytes"
        )
        assert await use(tools, "read_file", path="/output/bob/a/b/c.txt") == "žluť\n🐴\n"
        assert (workdir.path / "a/b/c.txt").read_text() == "žluť\n🐴\n"
        assert await use(tools, "write_file", path="a/b/c.txt", content="") == "Replaced /output/bob/a/b/c.txt: 0 bytes"
        assert await use(tools, "read_file", path="a/b/c.txt") == "(the file is empty)"
        assert sorted(os.listdir(workdir.path / "a/b")) == ["c.txt"]

    async def test_commands_and_tools_share_files(self, confined: dict[str, Tool]) -> None:
        await use(confined, "write_file", path="deep/run.sh", content="echo made by a tool; echo more >>run.sh\n")
        await use(confined, "run_command", command="chmod +x deep/run.sh; echo x >deep/new; echo more >>deep/run.sh")
        assert "deep/new 2" in await use(confined, "list_files", depth=2)
        await use(confined, "write_file", path="deep/run.sh", content="#!/bin/sh\necho replaced\n")
        assert "replaced" in await use(confined, "run_command", command="./deep/run.sh"), "the file stays executable"

    async def test_the_crew_shares(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        await use(tools, "write_file", path="../plan.md", content="for all")
        eve = tools_for(job(), Unconfined(), workdir_in(workdir.storage, agent="eve"))
        assert await use(eve, "read_file", path="/output/plan.md") == "for all"
        await use(eve, "write_file", path="/output/bob/note", content="from eve")
        assert await use(tools, "read_file", path="note") == "from eve"

    async def test_parts_of_a_file(self, tools: dict[str, Tool]) -> None:
        await use(tools, "write_file", path="n", content="".join(f"{n}\n" for n in range(1, 101)))
        part = await use(tools, "read_file", path="n", offset=3, limit=2)
        assert part == "3\n4\n\n[96 more lines; continue with offset 5]"
        assert await use(tools, "read_file", path="n", offset=100) == "100\n"
        assert await refused(tools, "read_file", path="n", offset=101) == "/output/bob/n has 100 lines"
        await use(tools, "write_file", path="n", content="a\x0cb\u2028c\r\nd")
        assert await use(tools, "read_file", path="n", offset=2) == "d", "lines end where grep says"

    async def test_a_long_file_is_shown_in_parts(self, tools: dict[str, Tool]) -> None:
        lines = [f"{n:06d} {'x' * 93}\n" for n in range(3000)]
        await use(tools, "write_file", path="long", content="".join(lines))
        shown, offset = "", 1
        for _ in range(20):
            part = await use(tools, "read_file", path="long", offset=offset, limit=10_000)
            assert len(part) <= CONTENT
            body, _, note = part.partition("\n[")
            shown += body if note else part
            if not note:
                break
            offset = int(note.rstrip("]").split()[-1])
        assert shown == "".join(lines)
        await use(tools, "write_file", path="long", content="y" * 1_000_000)
        assert "the rest of this line is left out" in await use(tools, "read_file", path="long")

    async def test_what_is_no_text(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        (workdir.path / "bin").write_bytes(b"\x7fELF\0\1\2")
        (workdir.path / "latin").write_bytes("é".encode("latin-1"))
        assert await use(tools, "read_file", path="bin") == "/output/bob/bin is a binary file of 7 bytes"
        assert await use(tools, "read_file", path="latin") == "/output/bob/latin is a binary file of 1 bytes"

    async def test_too_large_a_file(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        with open(workdir.path / "big", "wb") as file:
            file.truncate(9 << 20)
        assert "longer than 8 MiB" in await refused(tools, "read_file", path="big")

    async def test_what_is_not_there(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        (workdir.path / "file").write_text("")
        assert await refused(tools, "read_file", path="gone") == "/output/bob/gone does not exist"
        assert await refused(tools, "list_files", path="gone") == "/output/bob/gone does not exist"
        assert await refused(tools, "search_files", pattern="a", path="gone") == "/output/bob/gone does not exist"
        assert await refused(tools, "read_file", path=".") == "/output/bob is a directory"
        assert await refused(tools, "read_file", path="/output") == "/output is a directory"
        assert await refused(tools, "write_file", path="/output", content="") == "/output is a directory"
        assert await refused(tools, "write_file", path="/output/bob", content="") == "/output/bob is a directory"
        assert "not a directory" in await refused(tools, "write_file", path="file/x", content="")
        assert "not a directory" in await refused(tools, "list_files", path="file")
        assert "too long" in await refused(tools, "write_file", path="x" * 300, content="")
        assert "nested too deeply" in await refused(tools, "write_file", path="a/" * 40 + "b", content="")

    async def test_a_listing(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        assert await use(tools, "list_files") == "(the folder is empty)"
        (workdir.path / "sub/subsub").mkdir(parents=True)
        (workdir.path / "sub/f").write_text("12345")
        (workdir.path / "link").symlink_to("/etc")
        os.mkfifo(workdir.path / "pipe")
        (workdir.path / "two\nlines").write_text("")
        os.close(os.open(os.fsencode(workdir.path) + b"/bad\xff", os.O_CREAT))
        assert (
            await use(tools, "list_files")
            == "bad\ufffd 0\nlink (symbolic link)\npipe (not a file)\nsub/\ntwo\\nlines 0"
        )
        assert await use(tools, "list_files", path="sub", depth=1) == "f 5\nsubsub/"
        assert "sub/subsub/" in await use(tools, "list_files", depth=2)
        assert await use(tools, "list_files", path="/output") == "bob/"

    async def test_a_listing_without_end(self, tools: dict[str, Tool], workdir: Workdir) -> None:
        for number in range(1200):
            (workdir.path / f"f{number:04}").write_text("")
        listed = (await use(tools, "list_files")).split("\n")
        assert len(listed) == 1001
        assert listed[-1] == "[more than 1000 entries; list a folder of these]"


class TestSearching:
    @pytest.fixture(autouse=True)
    def files(self, workdir: Workdir) -> None:
        os.close(workdir.open_output())
        (workdir.path / "src/.git").mkdir(parents=True)
        (workdir.path / "src/a.py").write_text("import os\nprint(1.5)\nPRINT(1x5)\n")
        (workdir.path / "src/b:c.txt").write_text("say print\n")
        (workdir.path / "src/.git/config").write_text("print\n")
        (workdir.path / "src/bin").write_bytes(b"\0print")

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ({"pattern": "print"}, ["/output/bob/src/a.py:2: print(1.5)", "/output/bob/src/b:c.txt:1: say print"]),
            (
                {"pattern": "PRINT", "ignore_case": True, "path": "src/a.py"},
                ["/output/bob/src/a.py:2: print(1.5)", "/output/bob/src/a.py:3: PRINT(1x5)"],
            ),
            ({"pattern": "1.5"}, ["/output/bob/src/a.py:2: print(1.5)"]),
            ({"pattern": "nowhere"}, ["No line matches"]),
        ],
    )
    async def test_literal_text(self, tools: dict[str, Tool], arguments: dict[str, Any], found: list[str]) -> None:
        assert sorted((await use(tools, "search_files", **arguments)).split("\n")) == found

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ({"pattern": "1.5"}, ["/output/bob/src/a.py:2: print(1.5)", "/output/bob/src/a.py:3: PRINT(1x5)"]),
            (
                {"pattern": "^(say|import) ", "path": "/output"},
                ["/output/bob/src/a.py:1: import os", "/output/bob/src/b:c.txt:1: say print"],
            ),
            ({"pattern": "SAY", "ignore_case": True, "path": "src/b:c.txt"}, ["/output/bob/src/b:c.txt:1: say print"]),
            ({"pattern": "--help"}, ["No line matches"]),
        ],
    )
    async def test_expressions(self, confined: dict[str, Tool], arguments: dict[str, Any], found: list[str]) -> None:
        assert sorted((await use(confined, "search_files", regex=True, **arguments)).split("\n")) == found

    async def test_expressions_without_isolation_name_the_same_paths(self, workdir: Workdir) -> None:
        tools = tools_for(job(), Unconfined(unsafe=True), workdir)
        assert await use(tools, "search_files", pattern="1[.]5", regex=True) == "/output/bob/src/a.py:2: print(1.5)"

    async def test_expressions_that_cannot_be_used(self, confined: dict[str, Tool], tools: dict[str, Tool]) -> None:
        assert "The expression cannot be used: " in await refused(confined, "search_files", pattern="(", regex=True)
        assert "does not exist" in await refused(confined, "search_files", pattern="a", path="gone", regex=True)
        assert "Regular expressions cannot be used on this server" in await refused(
            tools, "search_files", pattern="a", regex=True
        )

    async def test_too_many_matches(self, confined: dict[str, Tool], workdir: Workdir) -> None:
        (workdir.path / "many").write_text("same\n" * 5000)
        for regex in (False, True):
            found = (await use(confined, "search_files", pattern="same", regex=regex)).split("\n")
            assert len(found) == 201
            assert found[-1] == "[more than 200 matching lines; narrow the search]"

    @pytest.mark.slow
    async def test_a_hostile_expression_holds_nobody_up(
        self, confined: dict[str, Tool], workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Backreferences make grep backtrack: the same would stop an interpreter for as long as it takes."""
        monkeypatch.setattr("runtime.tools.search.SECONDS", 1.0)
        (workdir.path / "hostile").write_text(("a" * 400 + "b" + "a" * 400 + "\n") * 40)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking, began = asyncio.ensure_future(tick()), time.monotonic()
        found = await use(confined, "search_files", pattern=r"(a*)(a*)(a*)\1\2\3b", regex=True, path="hostile")
        ticking.cancel()
        assert "the search ended after 1 seconds" in found
        assert time.monotonic() - began < 5
        assert ticks > 30

    async def test_the_time_of_a_search_is_limited(
        self, tools: dict[str, Tool], workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runtime.tools.search.SECONDS", 0.0)
        assert "the search ended after 0 seconds" in await use(tools, "search_files", pattern="nowhere")

    async def test_the_bytes_of_a_search_are_limited(
        self, tools: dict[str, Tool], workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runtime.tools.search.TOTAL_LIMIT", 10)
        assert "the search ended after 0 MiB" in await use(tools, "search_files", pattern="nowhere")


class TestCommands:
    async def test_what_comes_back(self, confined: dict[str, Tool]) -> None:
        assert (
            await use(confined, "run_command", command="echo out; echo problem >&2")
            == "Exit code 0\nout\n[stderr]\nproblem"
        )
        assert await confined["run_command"].run({"command": "echo out; exit 4"}) == ToolResult(
            "Exit code 4\nout", is_error=True
        )
        assert await use(confined, "run_command", command="true") == "Exit code 0"
        assert await use(confined, "run_command", command="printf 'a\\0b'") == "Exit code 0\na\ufffdb"

    async def test_it_is_bash_where_there_is_one(self, confined: dict[str, Tool]) -> None:
        if not os.access("/bin/bash", os.X_OK):
            pytest.skip("this machine has no bash")
        assert (
            await use(
                confined, "run_command", command="a=(1 2); [[ ${#a[@]} == 2 ]] && diff <(echo a) <(echo a) && echo bash"
            )
            == "Exit code 0\nbash"
        )

    @pytest.mark.slow
    async def test_the_time_is_limited(self, confined: dict[str, Tool]) -> None:
        assert (
            await refused(confined, "run_command", command="echo begun; sleep 60", timeout_seconds=1)
            == "Ended after 1 seconds: it took too long\nbegun"
        )

    async def test_long_output_keeps_both_ends(self, confined: dict[str, Tool]) -> None:
        content = await use(confined, "run_command", command="echo first; seq 100000; echo last")
        assert len(content) < CONTENT + 100
        assert content.startswith("Exit code 0\nfirst\n1\n2\n")
        assert "characters omitted]" in content
        assert content.endswith("more bytes of output were omitted]")

    async def test_cancelling(self, confined: dict[str, Tool], workdir: Workdir) -> None:
        task = asyncio.ensure_future(
            confined["run_command"].run({"command": "while :; do date +%N >counter; sleep 0.01; done"})
        )
        counter = workdir.path / "counter"
        async with asyncio.timeout(30):
            while not counter.exists() or not counter.read_text():
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = counter.read_text()
        await asyncio.sleep(0.2)
        assert counter.read_text() == before

    async def test_a_sandbox_that_fails_is_an_answer(self, confined: dict[str, Tool], sandbox: Bubblewrap) -> None:
        sandbox._masks = ["--ro-bind", "/does/not/exist", "/x"]
        assert "could not be started" in await refused(confined, "run_command", command="true")


async def test_random_arguments_raise_nothing(tools: dict[str, Tool]) -> None:
    chance = random.Random(20)
    values: list[Any] = [
        "a",
        "../x",
        "/etc/passwd",
        "\0",
        "",
        "x" * 5000,
        3,
        -1,
        None,
        True,
        [],
        {},
        1.5,
        10**40,
        "a/../../..",
        "\u200b",
        "\r\n",
    ]
    for tool in tools.values():
        names = [*tool.parameters["properties"], "other"]
        for _ in range(150):
            given = {name: chance.choice(values) for name in chance.sample(names, chance.randint(0, len(names)))}
            result = await tool.run(given)
            assert isinstance(result, ToolResult)
            assert "root:x:0:0" not in result.content
    assert not Path("/x").exists()
