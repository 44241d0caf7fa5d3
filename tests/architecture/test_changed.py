"""Which tests `make test changed=1` runs: all that a change can break, and no more than that of a domain."""

from pathlib import Path

from scripts.changed import OF_ALL_OPERATIONS, ROOT, selected
from tests.every import each_of


def test_a_change_of_a_domain_is_one_of_those_that_import_it() -> None:
    chosen = selected(["resolvers/work/labels/operations.py", "schema/schema.graphql", "CHANGELOG.md"])
    assert chosen.all is None
    assert {"labels", "issues", "projects"} <= chosen.domains
    assert not {"keeper", "audit", "mcp_registry"} & chosen.domains
    assert {*OF_ALL_OPERATIONS, "tests/work/labels", "tests/work/issues"} <= set(chosen.paths)
    assert "tests/oversight/keeper" not in chosen.paths
    assert [path for path in chosen.paths if not (ROOT / path).exists()] == []


def test_tests_elsewhere_that_import_the_domain_are_run() -> None:
    assert "tests/reader/test_filters.py" in selected(["models/work/projects.py"]).paths


@each_of(
    "path",
    [
        "resolvers/kernel/store/database.py",
        "resolvers/domains.py",
        "schema/bridge/fields.py",
        "rest_compat/http/dispatch.py",
        "crewship/process/app.py",
        "models/base.py",
        "models/migrations/versions/new.py",
        "models/sql/journal.sql",
        "tests/generation/estate.py",
        "tests/conftest.py",
        "tests/world.py",
        "tests/contract/replay.yaml",
        "pyproject.toml",
        "Makefile",
    ],
)
def test_a_change_of_what_all_stand_on_is_one_of_everything(path: str) -> None:
    assert selected(["resolvers/work/labels.py", path]).all == path
    assert selected([path]).paths == ("tests",)


def test_documents_and_tests_alone_are_no_change_of_a_domain() -> None:
    assert selected(["docs/agents.md"]).paths == ("tests/architecture",)
    chosen = selected(["tests/live/test_ws_chats.py"])
    assert (chosen.domains, set(chosen.paths)) == (frozenset(), {"tests/architecture", "tests/live/test_ws_chats.py"})


def test_whatever_is_made_of_operations_is_named() -> None:
    """A file whose cases are operations, and which is not of one domain, is run for each; but for what measures."""
    made = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "tests").rglob("test_*.py")
        if file.parent.name != "scale"
        and "generation.registry import" in file.read_text()
        and "@each_of(" in file.read_text()
    }
    unnamed = {file for file in made if not any(Path(file).is_relative_to(place) for place in OF_ALL_OPERATIONS)}
    assert unnamed == set()
