"""Profiles of the command line: which server is asked, as whom, and what is kept where."""

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crewship.cli import profiles
from crewship.cli.profiles import ClientError, Profile, find_profile
from tests.process.commands import ROOT
from tests.process.players import hire
from tests.process.terminals import terminal
from tests.process.test_people import run
from tests.world import Person, World, world_on

pytestmark = pytest.mark.anyio
WORK, HOME = Profile("https://work.example.com", "t-work", "ops"), Profile("http://127.0.0.1:8080", "t-home")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two profiles; none is in use."""
    for variable in (*profiles.VARIABLES.values(), profiles.NAMED):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profiles.write(profiles.place_of("work"), WORK)
    profiles.write(profiles.place_of("home"), HOME)
    return tmp_path / "crewship"


def test_a_profile_is_its_owners_alone(kept: Path) -> None:
    assert stat.S_IMODE((kept / "profiles").stat().st_mode) == 0o700
    assert stat.S_IMODE((kept / "profiles" / "work").stat().st_mode) == 0o600
    assert profiles.read(kept / "profiles" / "work") == WORK
    assert profiles.names() == ["home", "work"]
    assert "t-work" not in repr(WORK)


@pytest.mark.parametrize(
    ("wanted", "used", "given", "around", "found"),
    [
        (None, None, {}, {}, Profile()),
        (None, "work", {}, {}, WORK),
        ("home", "work", {}, {}, HOME),
        (None, "work", {}, {"CREWSHIP_PROFILE": "home"}, HOME),
        ("work", "home", {}, {"CREWSHIP_PROFILE": "home", "CREWSHIP_SERVER": "http://a"}, WORK),
        (None, "work", {"workspace": "dev"}, {}, Profile(WORK.server, "t-work", "dev")),
        # a token is for the server of its profile alone
        ("work", None, {"server": "http://other"}, {}, Profile("http://other")),
        (None, "work", {"server": "http://other"}, {}, Profile("http://other")),
        (None, "work", {}, {"CREWSHIP_SERVER": "http://other"}, Profile("http://other")),
        (None, "work", {}, {"CREWSHIP_TOKEN": "t-around"}, Profile(token="t-around")),
        (None, "work", {"token": "t-given"}, {}, Profile(token="t-given")),
        ("work", None, {"token": "t-given"}, {}, Profile(WORK.server, "t-given", "ops")),
        (None, "work", {"server": f"{WORK.server}/"}, {}, Profile(f"{WORK.server}/", "t-work", "ops")),
    ],
)  # fmt: skip
def test_what_wins(
    kept: Path, monkeypatch: pytest.MonkeyPatch, wanted: Any, used: Any, given: Any, around: Any, found: Profile
) -> None:
    if used:
        profiles.use(used)
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    assert find_profile(given, wanted) == found


def test_a_file_is_a_profile_too(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("CREWSHIP_TOKEN=t-mine # of nobody's server\n")
    assert find_profile({"server": "http://a"}, f"{tmp_path}/mine") == Profile("http://a", "t-mine")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("none", "there is no profile 'none'; there are: home, work. `crewship login --profile NAME` creates one"),
        (".", "'.' is not a valid profile name"), ("a b", "'a b' is not a valid profile name"),
        ("./none", "the profile none cannot be read (No such file or directory)"),
    ],
)  # fmt: skip
def test_what_is_no_profile(kept: Path, wanted: str, said: str) -> None:
    with pytest.raises(ClientError) as refused:
        find_profile({}, wanted)
    assert str(refused.value).startswith(said)


def test_one_that_is_removed_is_not_in_use(kept: Path) -> None:
    profiles.use("work")
    assert profiles.remove("work") == WORK
    assert (profiles.names(), profiles.in_use()) == (["home"], "default")
    assert not (kept / "profiles" / "work").exists()
    for change in (profiles.use, profiles.remove):
        with pytest.raises(ClientError, match="there is no profile 'work'"):
            change("work")


@pytest.mark.slow
def test_a_file_is_whole_whenever_it_is_read(kept: Path) -> None:
    """Two that write at once, and one that reads meanwhile."""
    writing = (
        "from crewship.cli import profiles;"
        "[profiles.write(profiles.place_of('work'), profiles.Profile('http://a', 'x' * 4000)) for _ in range(200)]"
    )
    env = {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(kept.parent), "PATH": os.environ["PATH"]}
    writers = [subprocess.Popen([sys.executable, "-c", writing], env=env) for _ in range(2)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        found = profiles.read(kept / "profiles" / "work")
        seen.add((found.server, len(found.token or "")))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {(WORK.server, len("t-work")), ("http://a", 4000)}
    assert profiles.names() == ["home", "work"]


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api") as made:
        await hire(made, made.owner)
        yield made


async def paired(place: World, person: Person, home: dict[str, str], *arguments: str) -> Any:
    code = (await place.rest(person, "POST", "/api/v1/auth/pair/start", {})).json()["code"]
    return await run(place, "login", *arguments, typed=f"{code}\n", **home)


@pytest.mark.slow
async def test_several_logins(place: World, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "CREWSHIP_TOKEN": "", "CREWSHIP_SERVER": ""}
    none = await run(place, "profiles", **home)
    assert (none.code, none.out, none.err) == (0, "", "No profiles yet: `crewship login` creates one.\n")
    first = await paired(place, place.owner, home, "--server", place.url, "--profile", "work")
    assert first.code == 0, first.err
    server = place.url.replace("127.0.0.1", "localhost")
    second = await paired(place, place.viewer, home, "--server", server, "--profile", "mine", "--json")
    told = json.loads(second.out)
    assert (told["profile"], told["server"], told["email"]) == ("mine", server, place.viewer.email)
    assert "`crewship profiles use mine` switches to this profile." in second.err
    listed = json.loads((await run(place, "profiles", "--json", **home)).out)
    assert listed == [
        {"name": "mine", "inUse": False, "server": server, "workspace": None},
        {"name": "work", "inUse": True, "server": place.url, "workspace": None},
    ]
    assert (await run(place, "profiles", **home)).out.splitlines()[1] == f"*\twork\t\t{place.url}"
    assert (await run(place, "issues", **home)).code == 0
    refused = await run(place, "login", "--server", "http://127.0.0.1:9", **home)
    assert refused.err.startswith(f"crewship: the profile 'work' is of {place.url}; give this one a name:")
    assert (await run(place, "profiles", "use", "mine", **home)).err == f"mine is in use: {server}\n"
    gone = await run(place, "profiles", "remove", "mine", **home)
    assert gone.err == f"mine was removed. Revoke its token at {server}/account#tokens.\n"
    assert "no token" in (await run(place, "issues", **home)).err
    again = await run(place, "issues", "--profile", "work", **home)
    assert (again.code, again.err) == (0, "No issues yet.\n")


async def test_a_token_that_was_revoked_says_what_to_do(place: World) -> None:
    said = await run(place, "issues", "--token", "crewship_cli_nothing")
    assert said.code == 1
    assert "does not accept this token: run `crewship login`" in said.err


@pytest.mark.slow
async def test_completion_asks_nobody(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crewship", "completion", "bash", env=env, stdout=asyncio.subprocess.PIPE, cwd="/"
    )
    script = (await made.communicate())[0].decode()
    assert made.returncode == 0
    (tmp_path / ".config/crewship/profiles").mkdir(parents=True)
    (tmp_path / ".config/crewship/profiles/work").touch()
    asked = {
        "l": {"login", "logs"}, "profiles ": {"list", "use", "remove"}, "profiles use ": {"work"},
        "runs --st": {"--status"}, "serve --role ": {"all", "api", "worker"}, "ask --profile w": {"work"},
        "completion ": {"bash", "zsh", "fish"}, "keys rotate --d": {"--data-keys"}, "nonsense ": set(),
    }  # fmt: skip
    for typed, found in asked.items():
        words = f"(crewship {' '.join(typed.split(' ')[:-1])} '{typed.split(' ')[-1]}')"
        called = f"COMP_WORDS={words}; COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); PATH=/usr/bin:/bin; _crewship; "
        bash = ["bash", "-c", f'{script}\n{called} printf "%s\\n" "${{COMPREPLY[@]}}"']
        shown = subprocess.run(bash, env=env, capture_output=True, text=True, check=True, timeout=20)
        assert shown.stderr == ""
        assert found <= set(shown.stdout.split()), typed
        if not typed.endswith(" "):
            assert set(shown.stdout.split()) == found, typed
    for shell in ("zsh", "fish"):
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "crewship", "completion", shell, env=env, stdout=asyncio.subprocess.PIPE, cwd="/"
        )
        assert b"profiles" in (await made.communicate())[0]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
async def test_zsh_completes(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb"}
    async with terminal("zsh", "-f", "-i", env=env) as shown:
        shown.type(f'eval "$({sys.executable} -m crewship completion zsh)"; echo kn""own\r')
        await shown.see("known")
        for typed, found in (
            ("term", "crewship terminal "),
            ("runs --sta", "crewship runs --status "),
            ("serve --role wo", "--role worker "),
        ):
            shown.type(f"crewship {typed}\t")
            await shown.see(found)
            shown.type("\x15")
        shown.type("exit\r")
        assert await shown.end() == 0


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    made = f"{sys.executable} -m crewship completion fish | source; "
    for typed, found in (("term", "terminal"), ("runs --sta", "--status"), ("serve --role wo", "worker")):
        asked = ["fish", "-c", f"{made} complete -C 'crewship {typed}'"]
        shown = subprocess.run(asked, env=env, capture_output=True, text=True, check=True, timeout=60)
        assert [line.split("\t")[0] for line in shown.stdout.splitlines()] == [found], shown.stderr
