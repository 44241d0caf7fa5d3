"""Runs the tests that a change is about (make test changed=1): scripts/changed.py BASE [ARGUMENTS OF PYTEST].

Those of the domains that differ from the merge base with BASE, and of the domains that import them; of tests
that are made of all operations, the cases of theirs. A change of what all stand on is a change of everything: the
kernel, the machinery of a surface, of a process or of tests. CI runs all tests, always.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from resolvers.domains import ROOMS  # noqa: E402

LAYERS = ("models", "resolvers", "schema", "rest_compat", "runtime")
OF_ALL_OPERATIONS = (
    "tests/architecture",
    "tests/attacks/test_bounds.py",
    "tests/attacks/test_scopes.py",
    "tests/contract",
    "tests/events",
    "tests/fuzz/test_hostile_inputs.py",
    "tests/live/test_terminal_roles.py",
    "tests/generation/test_accepted.py",
    "tests/generation/test_changed_rows.py",
    "tests/generation/test_generation.py",
    "tests/oversight/audit/test_effects.py",
    "tests/oversight/audit/test_every_command.py",
    "tests/parity",
    "tests/rbac",
    "tests/tenant",
)
"""Their cases are named by TESTED (tests/every.py)."""
WITHOUT_TESTS = (".md", ".json", ".graphql", ".txt", ".svg", ".png")
"""Documents, and what is generated of the code: tests/architecture and `make check` look at them."""


@dataclass(frozen=True)
class Selection:
    """`all`: the file that is everybody's, if one changed. `domains`: whose operations are called."""

    all: str | None = None
    domains: frozenset[str] = frozenset()
    paths: tuple[str, ...] = field(default=OF_ALL_OPERATIONS)


def domain_of(path: Path) -> str | None:
    """Whose file it is, by the room and the name that a domain has in every layer."""
    parts = path.with_suffix("").parts
    known = len(parts) > 2 and parts[0] in (*LAYERS, "tests") and parts[1] in ROOMS and parts[2] in ROOMS[parts[1]]
    return parts[2] if known else None


@cache
def imports_of(file: Path) -> frozenset[str]:
    """Domains that a file imports from, wherever it does."""
    found = set[str]()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        names = [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            known = domain_of(Path(*name.split(".")).with_suffix(".py"))
            if known is not None:
                found.add(known)
    return frozenset(found)


def files_in(*folders: str) -> list[Path]:
    return [file.relative_to(ROOT) for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def importers(changed: Iterable[str]) -> set[str]:
    """Domains one of whose modules imports from one of these."""
    wanted, found = set(changed), set[str]()
    for file in files_in(*LAYERS):
        domain = domain_of(file)
        if domain is not None and domain not in found and wanted & imports_of(file):
            found.add(domain)
    return found


def selected(changed: Iterable[str]) -> Selection:
    """What is run for files that changed, or went."""
    domains, tests = set[str](), set[str]()
    for name in changed:
        path = Path(name)
        domain = domain_of(path)
        if domain is not None:
            domains.add(domain)
        elif path.parts[0] == "tests" and path.name.startswith("test_"):
            tests |= {name} if (ROOT / name).exists() else set()
        elif path.suffix not in WITHOUT_TESTS or path.parts[0] == "tests":
            return Selection(all=name, paths=("tests",))
    if not domains:
        return Selection(paths=tuple(sorted({"tests/architecture", *tests})))
    beside = domains | importers(domains)
    own = {f"tests/{room}/{name}" for room, names in ROOMS.items() for name in names if name in beside}
    for file in files_in("tests"):
        if file.name.startswith("test_") and domain_of(file) is None and domains & imports_of(file):
            tests.add(str(file))
    found = {path for path in own | tests if (ROOT / path).exists() and not _within(path, OF_ALL_OPERATIONS)}
    return Selection(domains=frozenset(beside), paths=(*OF_ALL_OPERATIONS, *sorted(found)))


def _within(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607 - the one of the terminal
    return done.stdout.splitlines()


def changed_files(base: str) -> list[str]:
    """Committed since the merge base, changed since, or new."""
    (since,) = _git("merge-base", base, "HEAD")
    return sorted({*_git("diff", "--name-only", "--no-renames", since), *_git("ls-files", "-o", "--exclude-standard")})


def main() -> int:
    chosen = selected(changed_files(sys.argv[1]))
    if chosen.all is not None:
        print(f"{chosen.all} changed, which everything stands on: all tests", file=sys.stderr)
    else:
        print(f"changed, or imports what changed: {', '.join(sorted(chosen.domains)) or 'no domain'}", file=sys.stderr)
    known = {"TESTED": " ".join(sorted(chosen.domains))} if chosen.domains else {}
    command = [sys.executable, "-m", "pytest", "-m", "not slow", *sys.argv[2:], *chosen.paths]
    return subprocess.call(command, cwd=ROOT, env=os.environ | known)


if __name__ == "__main__":
    sys.exit(main())
