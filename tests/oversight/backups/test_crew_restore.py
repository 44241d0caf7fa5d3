# ruff: noqa: F811 - fixtures are named as they are imported
"""A crew is backed up and restored: beside itself, in a workspace of its own, over itself; whole or not at all."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from models.staff.crews import Crew
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.running import instance
from resolvers.oversight.backups import landing
from resolvers.oversight.backups.crews import OF_THE_WORKSPACE
from resolvers.oversight.backups.naming import SHARED
from tests.every import each_of
from tests.generation.estate import Estate, estate  # noqa: F401
from tests.oversight.backups.small import small_bundle
from tests.oversight.backups.test_restore import BACKUPS, everything, home, restore, rows_of  # noqa: F401
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SECOND = "second-deck"


def folder_of(world: World, *names: str) -> Path:
    return Path(instance.settings.storage_path / "workspaces" / world.workspace.id).joinpath(*names)


@pytest.fixture(scope="module")
async def crew(home: World, estate: Estate) -> str:
    """Its agent has files; so have another crew and the workspace."""
    found: str = estate.home["crew"].id
    agent = estate.home["agent"]
    for place in (
        ("crews", found, "output", agent.slug),
        ("agents", agent.id, "home"),
        ("crews", "c" + "1" * 24, "output"),
        ("memory",),
    ):
        folder = folder_of(home, *place)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "work.txt").write_text("/".join(place))
    return found


async def backup(world: World, crew: str, **body: Any) -> dict[str, Any]:
    given = {"scope": "crew", "crew_id": crew, "no_encrypt": True} | body
    answer = await world.rest(world.owner, "POST", BACKUPS, given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def new_rows(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Every row that was there is as it was."""
    for name, rows in before.items():
        assert [row for row in rows if row not in after[name]] == [], name
    return {name: [row for row in rows if row not in before[name]] for name, rows in after.items()}


def names_below(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


async def test_a_bundle_has_the_crew_alone(home: World, crew: str, estate: Estate) -> None:
    made = await backup(home, crew)
    assert (made["scope"], Path(made["path"]).name.split("-")[:2]) == ("crew", ["crewship", "crew"])
    with Bundle(Path(made["path"])) as bundle, bundle.entries(None) as entries:
        manifest = bundle.manifest
        found = {name: content.read() for name, _, content in entries}
    assert [each["id"] for each in manifest["contents"]["crews"]] == [crew]
    assert manifest["compatible_targets"] == ["same-instance"]
    assert {*manifest["contents"]["rows"]} & {*OF_THE_WORKSPACE} == set()
    described = [orjson.loads(content)["path"] for name, content in found.items() if name.startswith("files/")]
    assert {path.split("/")[1] for path in described} == {crew, estate.home["agent"].id}
    tables = {name.split("/")[1] for name in found if name.startswith("db/")}
    assert {"crews", "agents", "messages", "missions", "labels", "users"} <= tables
    assert tables & {"memberships", "credentials", "model_calls", "mcp_tool_calls", "cost_days"} == set()
    listed = (await home.rest(home.owner, "GET", BACKUPS)).json()["data"]
    assert ("crew", made["path"]) in [(entry["scope"], entry["path"]) for entry in listed]


async def test_a_crew_beside_itself_has_new_ids_and_names(home: World, crew: str, estate: Estate) -> None:
    made = await backup(home, crew, passphrase="correct horse", no_encrypt=None)
    before = await everything(home, home.workspace.id)
    body = {"as_crew": SECOND, "beside": True, "passphrase": "correct horse"}
    tried = await restore(home, made["path"], **body, dry_run=True)
    assert tried.status_code == 200, tried.text
    assert await everything(home, home.workspace.id) == before
    answer = await restore(home, made["path"], **body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["restored_workspace_id"], told["crews_restored"]) == (home.workspace.id, 1)
    assert told["rows_inserted"] == tried.json()["rows_inserted"]
    made_rows = new_rows(before, await everything(home, home.workspace.id))
    assert sum(map(len, made_rows.values())) == told["rows_inserted"]
    [new] = made_rows["crews"]
    assert (new["slug"], new["name"], new["id"] != crew) == (SECOND, SECOND, True)
    assert {name for name, rows in made_rows.items() if rows} & {*OF_THE_WORKSPACE, *SHARED} == set()
    counts = {name: number for name, number in told["manifest"]["contents"]["rows"].items() if name in before}
    for name, number in counts.items():
        if name not in SHARED:
            assert len(made_rows[name]) == number, name
    slugs = {row["slug"] for row in before["agents"]}
    assert {row["slug"] for row in made_rows["agents"]} & slugs == set()
    identifiers = [row["identifier"] for row in made_rows["missions"] if row["identifier"]]
    assert identifiers
    prefixes = {row["identifier"].rpartition("-")[0] for row in before["missions"] if row["identifier"]}
    assert prefixes & {new["issue_prefix"], *(identifier.rpartition("-")[0] for identifier in identifiers)} == set()
    labels = {row["id"] for row in before["labels"]}
    assert {row["label_id"] for row in made_rows["issue_labels"]} <= labels
    assert {row["project_id"] for row in made_rows["missions"]} <= {None, *(row["id"] for row in before["projects"])}
    kept = {person.user_id for person in home.people.values()} | {row["id"] for name in SHARED for row in before[name]}
    kept |= {row["id"] for row in await home.database.fetch("SELECT id FROM skills")}
    old = {row["id"] for name in before for row in before[name] if "id" in row} - kept
    for name, rows in made_rows.items():
        for row in rows:
            whole = orjson.dumps({k: v for k, v in row.items() if not isinstance(v, str) or " " not in v}).decode()
            assert [id for id in old if f'"{id}"' in whole and len(id) > 20] == [], (name, whole)
    agent = estate.home["agent"]
    [slug] = [row["slug"] for row in made_rows["agents"] if row["name"] == agent.name and not row["deleted_at"]][:1]
    files = names_below(folder_of(home, "crews", new["id"]))
    assert f"output/{slug}/work.txt" in files
    assert files >= {"output/report.txt", "output/again.txt", "output/run.sh"}
    again = await restore(home, made["path"], **body)
    assert (again.status_code, "slug" in again.text) == (409, True), again.text
    third = await restore(home, made["path"], **body | {"as_crew": "third-deck"})
    assert third.status_code == 200, third.text
    shown = await home.rest(home.owner, "GET", f"/api/v1/crews/{new['id']}")
    assert (shown.status_code, shown.json()["slug"]) == (200, SECOND)


async def test_a_crew_gets_a_workspace_of_its_own(home: World, crew: str) -> None:
    made = await backup(home, crew)
    before = await everything(home, home.workspace.id)
    answer = await restore(home, made["path"], as_crew="cloned")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["restored_ws"], told["restored_workspace_id"] != home.workspace.id) == ("cloned", True)
    assert await everything(home, home.workspace.id) == before
    after = await everything(home, told["restored_workspace_id"])
    assert [(row["slug"], row["name"]) for row in after["crews"]] == [("cloned", "cloned")]
    assert [row["user_id"] for row in after["memberships"]] == [home.owner.user_id]
    assert after["labels"]
    people = {row["user_id"] for name in ("crew_members", "chat_read_cursors") for row in after[name]}
    assert people <= {home.owner.user_id}
    assert (await restore(home, made["path"], as_crew="cloned")).status_code == 409


async def test_only_members_are_referenced_and_nobody_gets_an_account(home: World, crew: str) -> None:
    """The member has left the workspace since, and another one has no account any more."""
    made = await backup(home, crew)
    users = await home.database.fetchval("SELECT count(*) FROM users")
    await home.database.execute("UPDATE memberships SET accepted_at = NULL WHERE user_id = $1", home.member.user_id)
    before = await everything(home, home.workspace.id)
    try:
        answer = await restore(home, made["path"], as_crew="without-member", beside=True)
        assert answer.status_code == 200, answer.text
        made_rows = new_rows(before, await everything(home, home.workspace.id))
    finally:
        await home.database.execute(
            "UPDATE memberships SET accepted_at = now() WHERE user_id = $1", home.member.user_id
        )
    assert home.member.user_id not in orjson.dumps(made_rows).decode()
    assert await home.database.fetchval("SELECT count(*) FROM users") == users


async def test_over_itself_missing_rows_come_back(home: World, crew: str) -> None:
    made = await backup(home, crew)
    before = await everything(home, home.workspace.id)
    refused = await restore(home, made["path"])
    assert (refused.status_code, "every row" in refused.text) == (409, True), refused.text
    chats = "SELECT id FROM chats WHERE agent_id IN (SELECT id FROM agents WHERE crew_id = $1)"
    gone = await home.database.fetch(f"DELETE FROM messages WHERE chat_id IN ({chats}) RETURNING id", crew)
    assert gone
    answer = await restore(home, made["path"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows_inserted"] == len(gone)
    after = await everything(home, home.workspace.id)
    assert after["messages"] == before["messages"]


async def test_a_restore_that_fails_leaves_neither_rows_nor_files(
    home: World, crew: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await backup(home, crew)
    before = await everything(home, home.workspace.id)
    folders = {each.name for kind in ("crews", "agents") for each in folder_of(home, kind).iterdir()}
    put, count = landing.put_file, 0

    def broken(*arguments: Any, **options: Any) -> bool:
        nonlocal count
        count += 1
        if count > 2:
            raise BundleError(BundleFault.invalid_checksum, "the disk broke")
        return put(*arguments, **options)

    monkeypatch.setattr(landing, "put_file", broken)
    answer = await restore(home, made["path"], as_crew="broken", beside=True)
    assert (answer.status_code, "the disk broke" in answer.text, count > 2) == (400, True, True), answer.text
    assert await everything(home, home.workspace.id) == before
    assert {each.name for kind in ("crews", "agents") for each in folder_of(home, kind).iterdir()} == folders


async def test_a_role_in_a_crew_is_no_higher_than_that_of_the_caller(home: World, crew: str) -> None:
    await home.database.execute("UPDATE crew_members SET role = 'OWNER' WHERE crew_id = $1", crew)
    made = await backup(home, crew)
    answer = await restore(home, made["path"], home.admin, as_crew="of-admin", beside=True)
    assert answer.status_code == 200, answer.text
    new = next(row for row in await rows_of(home, Crew, home.workspace.id) if row["slug"] == "of-admin")
    roles = await home.database.fetch("SELECT role FROM crew_members WHERE crew_id = $1", new["id"])
    assert {row["role"] for row in roles} == {"ADMIN"}


@each_of(
    ("body", "status"),
    [
        pytest.param({"as_workspace": "x"}, 400, id="as_workspace"),
        pytest.param({"replace": True}, 400, id="replace"),
        pytest.param({"as_crew": "x", "as_workspace": "y"}, 400, id="both"),
        pytest.param({"as_crew": "x", "replace": True}, 400, id="replace a crew"),
        pytest.param({"beside": True}, 400, id="beside without slug"),
        pytest.param({"as_crew": "x", "beside": True, "files_only": True}, 400, id="files_only"),
    ],
)
async def test_parameters_that_do_not_go_together(home: World, crew: str, body: dict[str, Any], status: int) -> None:
    made = await backup(home, crew)
    answer = await restore(home, made["path"], **body)
    assert answer.status_code == status, answer.text


async def test_other_crews_and_other_bundles_are_refused(home: World, crew: str, estate: Estate) -> None:
    foreign = Crew(name="Foreign", slug="foreign", workspace_id=home.other.id)
    await home.add(foreign)
    for id in (foreign.id, "c" + "0" * 24):
        body = {"scope": "crew", "crew_id": id, "no_encrypt": True}
        assert (await home.rest(home.owner, "POST", BACKUPS, body)).status_code == 404
    whole = await home.rest(home.owner, "POST", BACKUPS, {"scope": "workspace", "no_encrypt": True})
    assert (await restore(home, whole.json()["path"], as_crew="x", beside=True)).status_code == 400


async def test_a_bundle_that_was_changed_brings_nothing(home: World, crew: str, estate: Estate) -> None:
    """Its manifest names another crew; it has a table of the workspace; its files belong to another crew."""
    made = await backup(home, crew)
    with Bundle(Path(made["path"])) as bundle, bundle.entries(None) as opened:
        manifest, entries = bundle.manifest, {name: content.read() for name, _, content in opened}
    told = {"scope": "crew", "schema_migration_versions": manifest["schema_migration_versions"]}
    folder = Path(made["path"]).parent

    async def refused(contents: dict[str, Any], entries: dict[str, bytes]) -> None:
        path, _ = small_bundle(folder, entries=entries, contents=contents, **told)
        before = await everything(home, home.workspace.id)
        answer = await restore(home, str(path), as_crew="changed", beside=True)
        assert answer.status_code == 400, answer.text
        assert await everything(home, home.workspace.id) == before
        assert not folder_of(home, "crews", "c" + "2" * 24).exists()

    contents = manifest["contents"]
    [own] = contents["crews"]
    await refused(contents | {"crews": [own | {"id": "c" + "2" * 24}]}, entries)
    await refused(contents | {"crews": []}, entries)
    await refused(contents | {"crews": [own, own]}, entries)
    head = orjson.loads(entries["head.json"])
    head["tables"]["memberships"] = ["id", "user_id", "workspace_id", "role"]
    await refused(contents, entries | {"head.json": orjson.dumps(head)})
    for name, content in list(entries.items()):
        if name.startswith("files/"):
            there = orjson.loads(content) | {"path": f"crews/{'c' + '2' * 24}/output/planted"}
            await refused(contents, entries | {name: orjson.dumps(there)})
            break


async def test_files_of_its_issues_are_in_a_bundle_and_those_of_others_are_not(
    home: World, crew: str, estate: Estate
) -> None:
    own, other = estate.home["issue_attachment"].sha256, "1" * 64
    for sha256 in (own, other):
        folder = folder_of(home, "issue_files", sha256)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "content").write_text(sha256)
    made = await backup(home, crew)
    with Bundle(Path(made["path"])) as bundle, bundle.entries(None) as entries:
        found = {name: content.read() for name, _, content in entries}
    described = [orjson.loads(content)["path"] for name, content in found.items() if name.startswith("files/")]
    assert [path for path in described if path.startswith("issue_files/")] == [f"issue_files/{own}/content"]
    (folder_of(home, "issue_files", own) / "content").unlink()
    answer = await restore(home, made["path"], as_crew="fourth-deck", beside=True)
    assert answer.status_code == 200, answer.text
    assert (folder_of(home, "issue_files", own) / "content").read_text() == own
