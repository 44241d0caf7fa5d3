"""Things that only the kernel may do: transactions, connections, and statements on the rows of tenants."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from models.base import TenantRow
from models.people.workspaces import Role
from tests.architecture.source import domain_files, name_of, nodes, python_files, strings, tree
from tests.every import each_of, for_every
from tests.generation.registry import operations

pytestmark = pytest.mark.thorough

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
    **{
        ("resolvers/staff/chats/finding.py", table): "filters of chats, whose list has its door: tied to its workspace"
        for table in ("Agent", "Chat", "ChatReadCursor", "Message")
    },
    ("resolvers/staff/runs/listing.py", "RunTag"): "the tags of a run, tied to its workspace",
    ("resolvers/work/issues/naming.py", "Agent"): "the LEAD of the crew that numbers an issue, tied to its workspace",
    (
        "resolvers/resources/credentials/graph.py",
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
        for table in ("Agent", "BackupLock", "Chat", "Crew", "IssueAttachment", "Run")
    },
    **{
        ("resolvers/staff/runs/ending.py", table): "what ends with a right, whoever may see it, tied to its workspace"
        for table in ("Assignment", "Chat", "Message", "PeerConversation")
    },
    ("resolvers/people/workspaces/members.py", "Membership"): "whether a person has accepted, tied to a workspace",
    ("resolvers/people/workspaces/members.py", "Invitation"): "whether a person was invited there, tied to it",
    ("resolvers/oversight/audit/log.py", "Membership"): "whether the workspace of an entry knows its user, tied to it",
    **{
        ("resolvers/oversight/backups/dumping.py", table): "the rows of a bundle, all of one workspace, of one snapshot"
        for table in ("Agent", "AgentSkill", "Crew", "IssueAttachment", "Membership", "Mission")
    },
    **{
        ("resolvers/oversight/backups/naming.py", table): "the names in the workspace of a restore, tied to it"
        for table in ("Agent", "Crew", "Mission")
    },
    ("resolvers/oversight/backups/crews.py", "AgentSkill"): "the skills of a crew's agents, tied to their workspace",
    **{
        ("resolvers/oversight/backups/landing.py", table): "the workspace that a bundle is restored into, tied to it"
        for table in ("Membership", "Run")
    },
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


@each_of(
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
    assert [n.lineno for n in nodes(path) if isinstance(n, ast.Attribute) and n.attr == "raw"] == []


CONNECTED = {
    "resolvers/oversight/system/status.py": "whether the database answers is what /readyz is about",
    "resolvers/oversight/system/measured.py": "the revision of the database is a metric, also without a request",
    "resolvers/live/tail.py": "one reader serves the listeners of all workspaces; a Channel decides what each may hear",
    "resolvers/live/hub.py": (
        "what a listener missed is read in the workspace of its Channel, which is proof of the right"
    ),
}


@for_every([p for p in OUTSIDE_KERNEL if name_of(p).startswith("resolvers/")], ids=name_of)
def test_operations_hold_no_connection(path: Path) -> None:
    """A Context has one; what else asks the database is said here."""
    taken = any(
        isinstance(n, ast.ImportFrom)
        and n.module in ("resolvers.kernel", "resolvers.kernel.store.database")
        and any(a.name == "database" for a in n.names)
        for n in nodes(path)
    )
    assert not taken or name_of(path) in CONNECTED


@for_every(SURFACES, ids=name_of)
def test_a_surface_holds_no_sql_and_no_role(path: Path) -> None:
    imported = {n.module.split(".")[0] for n in nodes(path) if isinstance(n, ast.ImportFrom) and n.module}
    assert not imported & {"sqlalchemy", "asyncpg"}
    assert [text for text in strings(path) if SQL.search(text)] == []
    assert [text for text in strings(path) if text in list(Role)] == []
    assert [
        n.lineno
        for n in nodes(path)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in ("Role", "Action")
    ] == []


@for_every(python_files("models", "resolvers", "schema", "rest_compat", "runtime", "crewship"), ids=name_of)
def test_one_place_connects(path: Path) -> None:
    """It knows what to do where an address names several servers, one of which is silent."""
    made = [
        n.lineno
        for n in nodes(path)
        if isinstance(n, ast.Attribute)
        and isinstance(n.value, ast.Name)
        and (n.value.id, n.attr) == ("asyncpg", "connect")
    ]
    assert not made or name_of(path) == "models/connections.py"


BY_HAND = {
    "resolvers/oversight/audit/seals.py": "digests of rows are computed and chained by functions of the database",
    "resolvers/oversight/audit/verification.py": "the same digests, compared over partitions that may be dropped",
    "resolvers/staff/runs/work.py": "leases of workers: one statement extends, parks or fences many runs at once",
    "resolvers/staff/runs/booking.py": "the statement that stores a step books its calls, in four tables",
    "resolvers/staff/runs/tracing.py": "spans are stored by the statements of work.py, and numbered by the run",
    "resolvers/live/statements.py": "places in the order in which transactions end, by the types of PostgreSQL",
    "resolvers/live/history.py": "histories and marks are by the log and the transactions of PostgreSQL",
}
"""Files outside the kernel that contain SQL, and why no word of the kernel says it."""
SENT_FOR_OTHERS = {
    "resolvers/live/tail.py": "sends what `statements` contains",
    "resolvers/live/hub.py": "sends what `statements` contains",
}
WORDLESS = [p for p in OUTSIDE_KERNEL if not name_of(p).startswith("runtime/")]
STATEMENT = re.compile(
    r"\bSELECT\s+(\w|\(|\*|'|\$)|\bSELECT\b.*\bFROM\b|\bINSERT\s+INTO\b|\bUPDATE\s+[\w.\"]+\s+(AS\s+)?(\w+\s+)?SET\b"
    r"|\bDELETE\s+FROM\b|\bWITH\s+\w+\s+AS\b|\bON\s+CONFLICT\b|\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE)\b|\bSKIP\s+LOCKED\b"
    r"|\bEXISTS\s*\(|\bRETURNING\s|\bTRUNCATE\s|\b(CREATE|ALTER|DROP)\s+(TABLE|INDEX|FUNCTION|TRIGGER|VIEW)\b"
    r"|\bset_config\s*\(|crewship\.workspaces|\b(FROM|JOIN)\s+\w+\s+(AS|ON|WHERE|USING|JOIN|LEFT|CROSS)\b",
    re.DOTALL,
)
MAKES_TEXT = {"literal_column", "text", "TextClause", "quoted_name", "TextualSelect"}
SENDS = {"fetch", "fetchval", "fetchrow", "execute", "executemany"}
WORDS = {"rows", "tables"}  # whose `within` names a workspace
CONNECTIONS = {"conn", "connection", "self._conn", "ctx.conn"} | WORDS


def sql_texts(module: ast.Module) -> list[int]:
    """Lines with an SQL text, including texts with inserted values; documentation does not count."""
    passed = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(module):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
            said = "".join([str(part.value) if isinstance(part, ast.Constant) else " x " for part in node.values])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            said = node.value
        else:
            continue
        if STATEMENT.search(said):
            found.append(node.lineno)
    return found


def raw_texts(module: ast.Module) -> list[int]:
    """Lines that take what puts a text into a statement as it is: `constant` quotes."""
    return [
        node.lineno
        for node in ast.walk(module)
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] == "sqlalchemy"
            and any(alias.name in MAKES_TEXT for alias in node.names)
        )
        or (
            isinstance(node, ast.Attribute)
            and node.attr in MAKES_TEXT
            and isinstance(node.value, ast.Name)
            and node.value.id in ("sa", "sqlalchemy")
        )
    ]


def sendings(module: ast.Module) -> list[int]:
    """Lines that send a text to the database: `fetch(sql)` of a connection, or of rows across workspaces, and
    `rows_in(scope, sql)`.
    """
    return [node.lineno for node in ast.walk(module) if isinstance(node, ast.Call) and _sends(node.func)]


def _sends(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id == "rows_in"
    if not isinstance(called, ast.Attribute):
        return False
    sender = ast.unparse(called.value)
    return sender in CONNECTIONS and (called.attr in SENDS or (called.attr == "within" and sender not in WORDS))


def test_no_sql_stands_outside_the_kernel() -> None:
    assert {name_of(path) for path in WORDLESS if sql_texts(tree(path))} == set(BY_HAND)
    assert len(BY_HAND) <= 10


def test_nothing_outside_the_kernel_sends_sql() -> None:
    found = {name_of(path) for path in WORDLESS if sendings(tree(path))}
    assert found - set(BY_HAND) == set(SENT_FOR_OTHERS)


def test_constants_are_quoted_in_one_place() -> None:
    assert [name_of(path) for path in WORDLESS if raw_texts(tree(path))] == []


@pytest.mark.parametrize(
    "text",
    [
        "X = 'SELECT id FROM crews'",
        "X = 'SELECT 1'",
        "X = f'SELECT id FROM {table} WHERE id = $1'",
        "X = f'UPDATE {table} SET name = $1'",
        "X = 'UPDATE crews AS c SET name = $1'",
        "X = 'UPDATE crews c SET name = $1'",
        "X = f'DELETE FROM {table}'",
        "X = 'INSERT INTO crews VALUES (1)'",
        "X = 'WITH due AS (' + rest",
        "X = 'ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED'",
        "X = f'EXISTS ({inner})'",
        "f(rows, 'FROM crews AS c')",
        "def f():\n    'Reads.'\n    return '\\n    SELECT\\n    id FROM crews'",
        "X = \"SELECT set_config('crewship.workspaces', '*', true)\"",
        "X = {'crewship.workspaces': '*'}",
        "X = 'TRUNCATE crews'",
    ],
)
def test_a_text_of_sql_is_seen(text: str) -> None:
    assert sql_texts(ast.parse(text)) != []


@pytest.mark.parametrize(
    "text",
    [
        "X = 'Select a crew from the list'",
        "X = 'Update the set of rules'",
        "'SELECT id FROM crews: what the kernel makes of it.'",
        "X = select(Crew).where(Crew.id == 1)",
        "X = Action.UPDATE",
        "X = f'The {name} exists (already)'",
    ],
)
def test_what_is_no_sql_is_let_be(text: str) -> None:
    assert sql_texts(ast.parse(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "from sqlalchemy import literal_column",
        "from sqlalchemy import func, text as t",
        "from sqlalchemy.sql.expression import TextClause",
        "x = sqlalchemy.text('now()')",
    ],
)
def test_text_of_sqlalchemy_is_seen(text: str) -> None:
    assert raw_texts(ast.parse(text)) == [1]


@pytest.mark.parametrize(
    "text",
    [
        "await rows.fetch(sql)", "lambda rows: rows.fetch(sql)", "await conn.execute(sql)", "f(rows.fetchval(S))",
        "await rows_in(scope, sql)", "await conn.within(scope, sql, id)",
    ],
)  # fmt: skip
def test_a_statement_that_is_sent_is_seen(text: str) -> None:
    assert sendings(ast.parse(text)) == [1]


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
