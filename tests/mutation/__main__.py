"""Plants 60 faults, one at a time, and says which the tests find: python -m tests.mutation [TABLE].

Everything is imported and collected once. For each fault a process is forked, which takes the place of the function's
code before anything has run, and runs the tests that are about it until one fails. No file is changed.
"""

import asyncio
import gc
import os
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

DOMAINS = ("projects", "saved_views", "triage_rules")
SMALLEST = ("saved_views",)  # what is asked of all operations, for a fault in the kernel
os.environ["TESTED"] = " ".join(DOMAINS)

import pytest  # noqa: E402

from resolvers.domains import DOMAINS as ALL  # noqa: E402
from resolvers.kernel.declarations.operation import OPERATIONS, Operation  # noqa: E402
from resolvers.kernel.ground.policy import GATES  # noqa: E402
from tests.mutation.faults import Fault, chosen  # noqa: E402

ROOT = Path.cwd()
OF_THE_KERNEL, OF_A_DOMAIN = 39, 8
SECONDS = 150  # of the processor, for the tests of a fault: one that never ends is found
FAMILIES = (
    "rbac",
    "tenant",
    "generation",
    "parity",
    "contract",
    "attacks/test_scopes.py",
    "oversight/audit/test_every_command.py",
    "events",
    "reader",
    "oversight/journal",
)
ONLY_NEAR = ("reader", "oversight/journal")
"""Long ones, which are asked about faults in code of their name alone."""
KILLED, SURVIVED, NOWHERE = "killed", "survived", "not planted"


@dataclass
class Found:
    fault: Fault | None
    result: str
    by: str
    seconds: float


class Planter:
    """A plugin in the place of the loop that runs tests."""

    def __init__(self, faults: list[Fault | None]) -> None:
        self.faults, self.found = faults, list[Found]()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from tests.conftest import READY, SERVERS
        from tests.postgres import Server, make_template

        server = Server()
        session.config.stash[SERVERS].append(server)
        asyncio.run(make_template(server.connection))
        session.config.stash[READY] = server.connection
        for fault in self.faults:
            items = list(about(session.items, fault))
            found = in_a_process(session, items, fault)
            self.found.append(found)
            print(
                f"{found.result:9} {found.seconds:5.1f} s  {fault.name if fault else 'no fault'}: {found.by}",
                flush=True,
            )
            asyncio.run(forget(server.connection))
            if found.result is KILLED and (fault is None or fails_anyway(session, items, found)):
                raise SystemExit(f"{found.by} fails without a fault")
        return True


async def forget(server: Any) -> None:
    """The databases that a process has left when its first test failed."""
    import asyncpg

    admin = await asyncpg.connect(server.dsn("postgres", "postgres"))
    for (name,) in await admin.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'"):
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def about(items: list[pytest.Item], fault: Fault | None) -> Iterator[pytest.Item]:
    """The tests of its own place first, then what is asked of every operation, and what else stands on the kernel."""
    of = [name for name in ("kernel", *DOMAINS) if fault is None or name in str(fault.file)]
    asked = SMALLEST if of == ["kernel"] else DOMAINS
    tests = {item: item.path.relative_to(ROOT / "tests").as_posix() for item in items}
    own = [item for item, path in tests.items() if any(f"/{name}/" in f"/{path}" for name in of)]
    yield from own
    near = [family for family in FAMILIES if fault is not None and family.split("/")[-1] in str(fault.file)]
    asked_of = [family for family in FAMILIES if family in near or family not in ONLY_NEAR]
    for family in sorted(asked_of, key=lambda family: family not in near):
        of_all = [item for item, path in tests.items() if path.startswith(family) and item not in own]
        yield from (item for item in of_all if is_of(item, asked))


def is_of(item: Any, domains: tuple[str, ...]) -> bool:
    """Not a case of other domains, whether an operation or a domain has an item of its own."""
    named = set(re.split(r"[\[\]]", item.name)) & set(DOMAINS)
    if named:
        return bool(named & set(domains))
    for value in (getattr(item, "callspec", None) and item.callspec.params.values()) or ():
        op = value if isinstance(value, Operation) else getattr(value, "operation", None)
        if isinstance(op, Operation):
            function = getattr(op, "run", None) or op.describe  # type: ignore[attr-defined]
            return next((p for p in function.__module__.split(".") if p in ALL), "") in domains
    return True


def fails_anyway(session: pytest.Session, items: list[pytest.Item], found: Found) -> bool:
    """Whether the test that found a fault fails without it: then it has found nothing."""
    return in_a_process(session, [item for item in items if item.nodeid == found.by], None).result is KILLED


def in_a_process(session: pytest.Session, items: list[pytest.Item], fault: Fault | None) -> Found:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS * (4 if fault is None else 1), -1))
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        try:
            if fault is not None and not plant(fault):
                os.write(write, NOWHERE.encode())
                items = []
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    os.write(write, item.nodeid.encode())
                    break
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode()[:200])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        by = told.read().decode()
    _, status, used = os.wait4(child, 0)
    by = by or ("no end within its time" if os.WIFSIGNALED(status) else "")
    result = NOWHERE if by == NOWHERE else KILLED if by else SURVIVED
    return Found(fault, result, by, used.ru_utime + used.ru_stime)


def plant(fault: Fault) -> bool:
    if fault.operation is not None:
        op: Any = OPERATIONS[fault.operation]
        roles = GATES[fault.action] if op.roles == GATES[op.action] else op.roles  # type: ignore[index]
        op.action, op.roles = fault.action, roles
        return True
    path = str(ROOT / fault.file)
    text = (ROOT / fault.file).read_text()
    made = dict(codes(compile(fault.planted(text), path, "exec", dont_inherit=True)))
    before = dict(codes(compile(text, path, "exec", dont_inherit=True)))
    changed = {key for key, code in made.items() if key in before and code != before[key]}
    planted = 0
    gc.unfreeze()  # what was collected is hidden from the collector (tests/conftest.py)
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType)]:
        code = function.__code__
        if code.co_filename == path and (code.co_qualname, code.co_firstlineno) in changed:
            function.__code__ = made[code.co_qualname, code.co_firstlineno]
            planted += 1
    return planted > 0


def codes(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield (part.co_qualname, part.co_firstlineno), part
            yield from codes(part)


def table(found: list[Found]) -> str:
    rows = [one for one in found if one.fault is not None]
    killed = sum(one.result is KILLED for one in rows)
    lines = [
        f"{killed} of {len(rows)} killed",
        "",
        "| fault | where | before | with it | result | by |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        assert one.fault is not None
        shown = [f"`{text[:70].replace('|', chr(92) + '|')}`" for text in (one.fault.before, one.fault.after)]
        shown = [" ".join(text.split()) for text in shown]
        by = one.by.removeprefix("tests/").split("[")[0]
        lines.append(f"| {one.fault.kind} | {one.fault.name} | {shown[0]} | {shown[1]} | {one.result} | {by} |")
    return "\n".join([*lines, ""])


def main() -> int:
    faults: list[Fault | None] = [None]  # first the tests alone, which pass
    faults += chosen(sorted((ROOT / "resolvers/kernel").rglob("*.py")), ROOT, OF_THE_KERNEL)
    for name in DOMAINS:
        files = sorted([*ROOT.glob(f"resolvers/*/{name}.py"), *ROOT.glob(f"resolvers/*/{name}/*.py")])
        faults += chosen(files, ROOT, OF_A_DOMAIN)
    if only := os.environ.get("FAULTS"):  # a file of names, one a line
        named = Path(only).read_text().splitlines()
        faults = [fault for fault in faults if fault is not None and fault.name in named]
    places = ["tests/kernel", *(f"tests/{family}" for family in FAMILIES)]
    places += [str(place) for name in DOMAINS for place in ROOT.glob(f"tests/*/{name}")]
    planter = Planter(faults)
    done = pytest.main(
        ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", os.environ.get("MARKED", "not slow"), *places],
        plugins=[planter],
    )
    told = table(planter.found)
    print(told)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(told)
    return int(done)


if __name__ == "__main__":
    sys.exit(main())
