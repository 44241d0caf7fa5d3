"""The directions of imports, and one name for a domain in every layer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resolvers.kernel
from resolvers.domains import DOMAINS, PLACES
from tests.architecture.source import ROOT, domain_files, domain_of, name_of, nodes, python_files, tree
from tests.every import each_of, for_every
from tests.generation.registry import operations

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
BELOW = ("resolvers.kernel", "resolvers.identity", "resolvers.instance", "resolvers.errors", "resolvers.problem")
NO_DOMAINS = tuple(name.replace(".", "/") for name in (*BELOW, "resolvers.live"))
DOMAIN_CODE = [path for path in python_files("resolvers") if not name_of(path).startswith(NO_DOMAINS)]
SERVICES = {
    f"resolvers.kernel.{name}"
    for name in (
        "admission.entities", "admission.gate", "admission.guards", "admission.operators", "admission.places",
        "admission.row_rules", "background.clocks", "background.followers", "background.following",
        "background.retention",
        "declarations.events", "declarations.operation", "declarations.row_events", "ground.constants",
        "ground.faults", "ground.inputs", "ground.pace", "ground.policy", "ground.scopes", "ground.streamed",
        "ground.stricter", "reader", "reader.filters", "store.across", "store.bus", "store.changes", "store.database",
        "store.copying",
        "store.differences", "writing.actors", "writing.command", "writing.persons", "writing.reports",
        "writing.rights",
        "writing.walking",
    )
}  # fmt: skip
"""Services that few domains need: they are imported from their module, so the list of words stays short."""
WORDS = 110


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def binds_operations(module: ast.Module) -> bool:
    """True if a module of a surface has a table of routes, or a part of a root type."""
    routes = any(
        isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and n.targets[0].id == "ROUTES"
        for n in module.body
    )
    return routes or any(isinstance(n, ast.ClassDef) and n.name.endswith(("Query", "Mutation")) for n in module.body)


@pytest.mark.parametrize("package", ["rest_compat", "schema"])
def test_a_domain_has_one_name(package: str) -> None:
    """A surface's part of a domain is in the module with the name of its operations and tests, and nowhere else."""
    assert {domain_of(path) for path in python_files(package) if binds_operations(tree(path))} == {
        domain_of(path) for path in domain_files(package)
    }
    for domain in DOMAINS:
        place = PLACES[domain].replace(".", "/")
        assert list((ROOT / "tests" / place).glob("test_*.py")), f"{domain}: no tests/{place}"


@each_of(
    ("text", "found"),
    [
        ('ROUTES = (GET("/api/v1/labels", labels.list_labels, list[LabelJSON]),)', True),
        ("class LabelQuery:\n    pass", True),
        ("class LabelMutation:\n    pass", True),
        ("class LabelType:\n    pass", False),
        ("ROUTES: tuple[Route, ...] = ()", False),
    ],
)
def test_a_binding_is_seen(text: str, found: bool) -> None:
    assert binds_operations(ast.parse(text)) is found


def test_both_surfaces_know_the_same_domains() -> None:
    assert {domain_of(path) for path in domain_files("rest_compat")} == {
        domain_of(path) for path in domain_files("schema")
    }


@for_every(domain_files("schema"), ids=name_of)
def test_types_of_a_domain_name_no_other_domains_types(path: Path) -> None:
    """The graph declares where an edge leads, so the domains of the schema need no order among them."""
    imported = {n.module for n in nodes(path) if isinstance(n, ast.ImportFrom)}
    assert imported & {f"schema.{place}" for place in PLACES.values()} == set()


def test_operations_belong_to_a_domain() -> None:
    owners = {getattr(op, "describe", getattr(op, "run", None)).__module__.split(".")[2] for op in operations()}
    # Channels are what a live connection asks for, on no surface.
    assert owners == {*DOMAINS, "channels"}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name_of(path) for path in python_files() if {path.stem, *path.relative_to(ROOT).parts[:-1]} & VAGUE] == []


def is_service(module: str) -> bool:
    return module in SERVICES or module.startswith(("resolvers.identity.", "resolvers.instance."))


def kernel_names(module: ast.Module) -> set[str]:
    """The imports of a module from the kernel and below, without services: a name of the facade as it is, and a deeper
    name with its path.
    """
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(BELOW)}
        if isinstance(node, ast.ImportFrom):
            paths = {f"{node.module}.{alias.name}" for alias in node.names}
            offered = {path for path in paths if is_service(path) or is_service(node.module or "")}
            found |= {path.removeprefix("resolvers.kernel.") for path in paths - offered if path.startswith(BELOW)}
    return found


@for_every(DOMAIN_CODE, ids=name_of)
def test_domains_know_the_facade_of_the_kernel_alone(path: Path) -> None:
    assert kernel_names(tree(path)) - set(resolvers.kernel.__all__) == set()


def test_the_facade_offers_what_domains_use() -> None:
    used = set().union(*(kernel_names(tree(path)) for path in DOMAIN_CODE))
    assert used == set(resolvers.kernel.__all__)
    assert len(used) <= WORDS


@each_of(
    ("text", "deeper"),
    [
        ("from resolvers.kernel import Action, query", False),
        ("from resolvers.kernel.declarations.query import query", True),
        ("from resolvers.kernel.reader.rows import Rows", True),
        ("from resolvers.kernel import statements", True),
        ("import resolvers.kernel.declarations.query", True),
        ("from resolvers import kernel", True),
        ("from resolvers.errors import Refusal", True),
        ("from resolvers.instance.prices import price", False),
        ("from resolvers import identity", True),
        ("from resolvers.staff.crews import crews", False),
    ],
)
def test_a_name_from_deeper_is_seen(text: str, deeper: bool) -> None:
    assert bool(kernel_names(ast.parse(text)) - set(resolvers.kernel.__all__)) is deeper
