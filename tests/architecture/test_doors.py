"""What only the kernel may do: transactions, connections, and statements on the rows of tenants."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from models.base import TenantRow
from models.people.workspaces import Role
from tests.architecture.source import domain_files, name_of, python_files, strings, tree
from tests.every import for_every
from tests.generation.registry import operations

OUTSIDE_KERNEL = [
    p
    for p in python_files("resolvers", "schema", "rest_compat", "runtime")
    if not name_of(p).startswith("resolvers/kernel/")
]
SURFACES = [*domain_files("rest_compat"), *domain_files("schema")]
SQL = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b", re.DOTALL)

# (file, table): why a statement names the table of a tenant past ctx and scope.
PAST_THE_DOOR = {
    (
        "resolvers/people/workspaces/workspaces.py",
        "Membership",
    ): "the caller's own memberships: they lead to workspaces, and not out of one",
    (
        "resolvers/staff/onboarding.py",
        "Agent",
    ): "whether there is an agent in a workspace, tied to it: what is looked for are the caller's own workspaces",
    ("resolvers/staff/runs/listing.py", "Run"): "the run of a tag, tied to its workspace: what is listed has its door",
    ("resolvers/staff/runs/listing.py", "RunTag"): "the tags of a run, tied to its workspace",
    ("resolvers/work/issues/naming.py", "Agent"): "the LEAD of the crew that numbers an issue, tied to its workspace",
    (
        "resolvers/resources/credentials/assignments.py",
        "Credential",
    ): "what every member may know of it, tied to its workspace",
    (
        "resolvers/resources/integrations/graph.py",
        "Credential",
    ): "whether a server gets one, which every member may know",
    ("resolvers/resources/credentials/graph.py", "CredentialCrew"): "the crews of a credential, tied to its workspace",
    ("resolvers/resources/credentials/graph.py", "CrewMember"): "the caller in those crews",
    ("resolvers/resources/costs/edges.py", "CostDay"): "the sums of a row's days, tied to its workspace",
    ("resolvers/resources/costs/reserving.py", "Assignment"): "the assignment of a run, tied to its workspace",
    ("resolvers/resources/skills/catalog.py", "Agent"): "the agents of a crew, tied to its workspace",
    ("resolvers/resources/skills/catalog.py", "AgentSkill"): "the skills of those agents, tied to their workspace",
    **{
        ("resolvers/people/workspaces/files.py", table): "which of the names on disk are rows, of one workspace"
        for table in ("Agent", "Chat", "Crew", "Run")
    },
    **{
        ("resolvers/staff/runs/ending.py", table): "what ends with a right, whoever may see it, tied to its workspace"
        for table in ("Assignment", "Chat", "Message", "PeerConversation")
    },
    ("resolvers/people/workspaces/members.py", "Membership"): "whether a person has accepted, tied to a workspace",
    ("resolvers/people/workspaces/members.py", "Invitation"): "whether a person was invited there, tied to it",
    ("resolvers/oversight/audit/log.py", "Membership"): "whether the workspace of an entry knows its user, tied to it",
    (
        "resolvers/resources/costs/budgets.py",
        "BudgetSpend",
    ): "the sums of a budget that is deleted: no other row has them",
}


def _tenants(model: type[TenantRow] = TenantRow) -> Iterator[str]:
    for kind in model.__subclasses__():
        yield kind.__name__
        yield from _tenants(kind)


def _named(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def past_the_door(module: ast.Module) -> set[str]:
    """The tenants' tables that a module names in `table_of`, or in a bare select, insert, update or delete."""
    tenants, found = set(_tenants()), set()
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("table_of", "select", "insert", "update", "delete", "pg_insert")
        ):
            found |= {name for argument in node.args for name in _named(argument)} & tenants
    return found


def test_rows_of_tenants_are_reached_through_the_door() -> None:
    operations()
    found = {(name_of(path), table) for path in OUTSIDE_KERNEL for table in past_the_door(tree(path))}
    assert found == set(PAST_THE_DOOR)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select(Label)", {"Label"}),
        ("select(func.count()).select_from(table_of(Label))", {"Label"}),
        ("delete(Label).where(Label.id == 1)", {"Label"}),
        ("select(col(Label.id))", {"Label"}),
        ("ctx.select(Label, col(Label.id) == 1)", set()),
        ("scope.select(Label)", set()),
        ("select(col(User.id))", set()),
    ],
)
def test_the_door_is_seen(text: str, found: set[str]) -> None:
    assert past_the_door(ast.parse(text)) == found


WHO_IS_ON_THE_LINE = re.compile(
    r"\bgetpeername\b|\bpeername\b|\bget_remote_addr\b|SO_PEERCRED|\bself\.client\[|scope.*\"client\""
)


def test_one_place_asks_who_is_on_the_line() -> None:
    """Asked twice, it has two answers; the perimeter reads of other servers' scopes what those have found."""
    found = {
        name_of(path)
        for path in python_files("crewship", "resolvers", "schema", "rest_compat")
        if WHO_IS_ON_THE_LINE.search(path.read_text())
    }
    assert found == {"crewship/perimeter/line.py", "crewship/perimeter/perimeter.py"}


def own_transactions(module: ast.Module) -> list[int]:
    found = []
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("commit", "rollback", "transaction")
        ):
            found.append(node.lineno)
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT)\b.*", node.value)
        ):
            found.append(node.lineno)
    return found


OF_IMAGES = {"runtime/containers/engine.py": "a container engine's word for making an image of a container"}


@for_every(OUTSIDE_KERNEL, ids=name_of)
def test_nobody_else_commits(path: Path) -> None:
    assert own_transactions(tree(path)) == [] or name_of(path) in OF_IMAGES


@pytest.mark.parametrize(
    "text",
    [
        "conn.commit()",
        "await conn.execute('COMMIT')",
        "await conn.execute('BEGIN ISOLATION LEVEL SERIALIZABLE')",
        "conn.transaction()",
    ],
)
def test_a_commit_is_seen(text: str) -> None:
    assert own_transactions(ast.parse(text, mode="exec")) == [1]


@for_every(domain_files("resolvers"), ids=name_of)
def test_no_domain_reads_a_body_that_was_not_validated(path: Path) -> None:
    assert [n.lineno for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute) and n.attr == "raw"] == []


CONNECTED = {
    "resolvers/rules/workers.py": "who works is of no workspace, and written for no caller",
    "resolvers/oversight/system/status.py": "whether the database answers is what /readyz is about",
    "resolvers/live/tail.py": "one reader serves the listeners of all workspaces; a Channel decides what each may hear",
    "resolvers/live/hub.py": (
        "what a listener missed is read in the workspace of its Channel, which is proof of the right"
    ),
    "resolvers/live/presence.py": "who listens to which chat is written for all callers of a process at once",
    "resolvers/oversight/instance_settings/following.py": "what holds in a process is no caller's, and of no workspace",
    "resolvers/staff/runs/work.py": "a worker takes runs of all workspaces, and writes batches for no caller",
}


@for_every([p for p in OUTSIDE_KERNEL if name_of(p).startswith("resolvers/")], ids=name_of)
def test_operations_hold_no_connection(path: Path) -> None:
    """A Context has one; what else asks the database is said here."""
    taken = any(
        isinstance(n, ast.ImportFrom)
        and n.module in ("resolvers.kernel", "resolvers.kernel.store.database")
        and any(a.name == "database" for a in n.names)
        for n in ast.walk(tree(path))
    )
    assert not taken or name_of(path) in CONNECTED


@for_every(SURFACES, ids=name_of)
def test_a_surface_holds_no_sql_and_no_role(path: Path) -> None:
    imported = {n.module.split(".")[0] for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom) and n.module}
    assert not imported & {"sqlalchemy", "asyncpg"}
    assert [text for text in strings(path) if SQL.search(text)] == []
    assert [text for text in strings(path) if text in list(Role)] == []
    assert [
        n.lineno
        for n in ast.walk(tree(path))
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in ("Role", "Action")
    ] == []


STATUSES = {status.value for status in HTTPStatus if status >= 200}


def stray_statuses(module: ast.Module) -> list[int]:
    """Statuses that stand neither in a route's `status=` or `or_status=` nor, below 400, at the head of a Reply."""
    allowed = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            allowed |= {id(k.value) for k in node.keywords if k.arg in ("status", "or_status")}
            if isinstance(node.func, ast.Name) and node.func.id == "Reply" and node.args:
                allowed |= {
                    id(n)
                    for n in ast.walk(node.args[0])
                    if isinstance(n, ast.Constant) and n.value != "" and isinstance(n.value, int) and n.value < 400
                }
    return [
        n.value
        for n in ast.walk(module)
        if isinstance(n, ast.Constant) and type(n.value) is int and n.value in STATUSES and id(n) not in allowed
    ]


@for_every(SURFACES, ids=name_of)
def test_a_surface_names_no_status_of_a_refusal(path: Path) -> None:
    # a probe that fails is no refusal: it has the body of one that succeeds
    expected = [503] if name_of(path) == "rest_compat/oversight/system.py" else []
    assert stray_statuses(tree(path)) == expected


def test_a_status_is_seen() -> None:
    assert sorted(stray_statuses(ast.parse("x = Reply(404)\nPOST('/x', op, status=201)\ny = Reply(200)\nz = 409"))) == [
        404,
        409,
    ]
