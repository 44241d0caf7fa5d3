"""One more domain, field and operation, added to a copy of the project as CONTRIBUTING says: what that touches."""

import re
import subprocess
import sys
from pathlib import Path
from shutil import copyfile

from models.migrations import number
from tests.architecture.source import name_of, tracked

RENAMED = {
    "LABEL =": "BERTH =", "(LABEL)": "(BERTH)", "=LABEL,": "=BERTH,", "labels": "berths", "Labels": "Berths",
    "label": "berth", "Label": "Berth",
}  # fmt: skip
CASES = "tests/work/berths/cases.py"
OF_LABELS = re.compile(r"/labels(/|\.py$)")
MIGRATION = '''"""{title}."""

from models.migrations.revisions import execute

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute(
        """
        {statement}
        """
    )
'''
BERTHS = """
        CREATE TABLE berths (
            id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            name varchar(600) NOT NULL,
            color varchar(100) NOT NULL,
            berth_group varchar(100),
            version integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (workspace_id, id),
            UNIQUE (workspace_id, name)
        )
"""
GET_BERTH = '''

@query("berths.get", Action.READ, subject=BERTH)
def get_berth(scope: QueryScope, berth: Row[Berth], data: ById) -> Row[Berth]:
    """Get a berth."""
    return berth
'''
CLEAR_GROUP = '''

@command("berths.clear_group", Action.MANAGE, audit="berth.updated", subject=BERTH, versioned=Berth)
async def clear_group(ctx: Context, berth: Berth, data: ById) -> Berth:
    """Remove the group of a berth."""
    return await ctx.edit(berth, berth_group=None)
'''
TEST_OF_BOTH = """

async def test_a_berth_is_got_and_loses_its_group(world: World) -> None:
    made = {"name": "jetty", "color": "x", "berth_group": "w"}
    berth = (await world.rest(world.owner, "POST", "/api/v1/berths", made)).json()
    assert (await world.rest(world.viewer, "GET", f"/api/v1/berths/{berth['id']}")).json() == berth
    cleared = await world.rest(world.owner, "POST", f"/api/v1/berths/{berth['id']}/clear-group")
    assert cleared.json() == berth | {"berth_group": None}
"""


class Copy:
    """The project in a folder and a repository of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for path in tracked():
            (root / name_of(path)).parent.mkdir(parents=True, exist_ok=True)
            copyfile(path, root / name_of(path))
        self._git("init", "-q")
        self.keep()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout

    def keep(self) -> None:
        """Makes the additions part of the copy."""
        self._git("add", "-A")
        self._git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", "More")

    def touched(self) -> list[str]:
        """The files that what was added has made or changed."""
        return sorted(line[3:] for line in self._git("status", "--porcelain", "-uall").splitlines())

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def edit(self, name: str, *changes: tuple[str, str]) -> None:
        text = (self.root / name).read_text()
        for before, after in changes:
            assert before in text, f"{name}: {before}"
            text = text.replace(before, after, 1)
        (self.root / name).write_text(text)

    def run(self, *command: str) -> str:
        """A program of the environment, on the copy."""
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def judge_imports(self) -> None:
        """As import-linter does."""
        program = Path(sys.executable).with_name("lint-imports")
        done = subprocess.run([program], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:]

    def document(self) -> None:
        """Writes the generated documents, as `make schema openapi` does."""
        self.write("schema/schema.graphql", self.run("crewship", "schema"))
        self.write("rest_compat/openapi.json", self.run("crewship", "openapi"))

    def migrate(self, title: str, statement: str) -> None:
        versions = self.root / "models" / "migrations" / "versions"
        texts = "\n".join(path.read_text() for path in versions.glob("*.py"))
        before = max(re.findall(r'^revision = "(.*)"$', texts, re.M), key=number)
        day = f"{int(before[:4]) + 1}_01_01"
        text = MIGRATION.format(title=title, revision=day, before=before, statement=statement.strip())
        self.write(f"models/migrations/versions/{day}_{title.lower()}.py", text)


def add_domain(copy: Copy) -> None:
    """Berths: labels under other names."""
    for path in tracked():
        name = name_of(path)
        if OF_LABELS.search(f"/{name}") and path.suffix == ".py":
            text = path.read_text().replace(" version issues", " version")  # what another domain hangs there
            for before, after in RENAMED.items():
                name, text = name.replace(before, after), text.replace(before, after)
            copy.write(name, text)
    copy.migrate("Berths", BERTHS)
    copy.edit("resolvers/domains.py", ('        "labels",\n', '        "labels",\n        "berths",\n'))
    copy.edit("pyproject.toml", ('    "labels |', '    "berths | labels |'))
    copy.edit(CASES, ("READS = {", 'ADDED = {"berths": "crews moor"}\nREADS = {'))


def add_field(copy: Copy) -> None:
    """The weather of berths."""
    copy.edit(
        "models/work/berths.py",
        (
            "    berth_group: ",
            "    weather: str | None = text_field(NAME, default=None, holds=NOTHING)\n    berth_group: ",
        ),
    )
    copy.migrate("Weather", "ALTER TABLE berths ADD COLUMN weather varchar(100)")
    copy.edit(
        "resolvers/work/berths.py",
        (
            "    berth_group: Group | None = None\n",
            "    berth_group: Group | None = None\n    weather: Group | None = None\n",
        ),
        ("    berth_group: Group | None\n", "    berth_group: Group | None\n    weather: Group | None\n"),
    )
    copy.edit("rest_compat/work/berths.py", ("berth_group", "berth_group weather"))
    copy.edit("schema/work/berths.py", ("berth_group", "berth_group weather"))
    copy.edit("tests/work/berths/test_rest.py", ('"berth_group": None}', '"berth_group": None, "weather": None}'))


def add_operations(copy: Copy) -> None:
    """One that reads and one that writes: each touches as many files as both."""
    name = "resolvers/work/berths.py"
    copy.write(name, (copy.root / name).read_text() + GET_BERTH + CLEAR_GROUP)
    copy.edit(name, ("    QueryScope,\n", "    QueryScope,\n    Row,\n"))
    copy.edit(
        "rest_compat/work/berths.py",
        (
            "    PATCH(",
            '    GET("/api/v1/berths/{berthId}", berths.get_berth, BerthJSON),\n'
            '    POST("/api/v1/berths/{berthId}/clear-group", berths.clear_group, BerthJSON),\n    PATCH(',
        ),
    )
    copy.edit(
        "schema/work/berths.py",
        ("BerthType)\n", "BerthType)\n    berth = query(berth_ops.get_berth, BerthType)\n"),
        ("    update_berth =", "    clear_group = mutation(berth_ops.clear_group, BerthType)\n    update_berth ="),
    )
    copy.edit(CASES, ("import listed", "import found, listed"), ("READS = {", 'READS = {"berth": found("Berth"), '))
    name = "tests/work/berths/test_rest.py"
    copy.write(name, (copy.root / name).read_text() + TEST_OF_BOTH)
