"""Issues: moved on the board by mouse and by keys, found in a list, created from anywhere, and worked on in place."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from models.work.missions import Mission, MissionStatus
from tests.console.deck import PHONE, enter, give, page, pictures, place, press
from tests.people.auth.browsers import PASSWORD, new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.work.issues.board import Board
from tests.world import World, now, stored

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
MEMBER = "mary@example.com"
IN = "[data-status={}] [data-issue='{}']"


@pytest.fixture
async def board(place: World) -> AsyncIterator[Board]:
    """Three issues of a crew; the first one is in the backlog, the second one is to do, the third one is in review."""
    made = await Board.of(place)
    for title, status in (
        ("Sharpen the axe", MissionStatus.BACKLOG),
        ("Stack the wood", MissionStatus.TODO),
        (f"Fell {HOSTILE}", MissionStatus.REVIEW),
    ):
        await made.in_state(status, title=title, description=f"As **agreed**. {HOSTILE}")
    yield made
    for table in ("missions", "projects", "labels", "saved_views"):
        await place.database.execute(f"DELETE FROM {table}")


async def found(place: World, title: str) -> Any:
    return await place.database.fetchrow("SELECT * FROM missions WHERE title LIKE $1 || '%'", title)


async def test_the_board_moves_issues_and_their_pages_change_them(place: World, board: Board, page: Page) -> None:
    axes, wood = [(await found(place, title))["id"] for title in ("Sharpen", "Stack")]
    await enter(page, place, "issues")
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    await page.see("<img src=x", "[data-status=REVIEW]")
    await page.drag(
        IN.format("BACKLOG", axes), "[data-status=IN_PROGRESS]", hold="document.querySelector('section.takes')"
    )
    await page.until(f'document.querySelector("{IN.format("IN_PROGRESS", axes)}")')
    await page.see("is in In progress", ".notices")
    assert (await found(place, "Sharpen"))["status"] == "IN_PROGRESS"
    await page.press("ArrowLeft")
    await page.until(f'document.activeElement.matches("{IN.format("TODO", wood)}")')
    await page.press("]")
    await page.until(f'document.activeElement.matches("{IN.format("IN_PROGRESS", wood)}")')
    await page.press("c")
    await page.until("document.activeElement.matches('dialog[open] [name=title]')")
    await page.fill("dialog [name=title]", "Light the fire")
    await page.press("Enter")
    await page.see("Light the fire", "[data-status=BACKLOG]")
    await page.value("document.querySelector('[data-status=BACKLOG] [data-issue]').focus()")
    await page.press("Enter")
    await page.see("Light the fire", "h1")
    await page.fill("[name=body]", "Where is the **match**?")
    await page.press("Enter", control=True)
    await page.see("Where is the match?", "ol article")
    await page.see("Light the fire", "h1")
    assert page.complaints == []


async def sign_in(page: Page, place: World, email: str, path: str) -> None:
    await page.open(f"{place.url}/login?callbackUrl=/console/{place.workspace.slug}/{path}")
    await page.fill("#login [name=email]", email)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.until("document.querySelector('main h1')")


@pytest.mark.slow
async def test_the_keyboard_alone_moves_orders_and_takes_back(place: World, board: Board, page: Page, axe: str) -> None:
    await board.in_state(MissionStatus.TODO, title="Carry the wood")
    titles = "[...document.querySelectorAll('[data-status=TODO] strong')].map(one => one.innerText).join()"
    active = "document.activeElement.innerText.includes('{}')"
    await enter(page, place, "issues")
    await page.see("Carry the wood", "[data-status=TODO]")
    await pictures(page, "issues")
    await judge(page, axe, "board")
    before = await page.value(titles)
    first, second = before.split(",")
    await page.press("j")
    await page.until(active.format("Sharpen the axe"))
    await page.press("ArrowRight")
    await page.until(active.format(first))
    await page.press("ArrowDown", control=True)
    await page.until(f"{titles} === '{second},{first}'")
    await page.see("has a new place", ".notices")
    await page.until(active.format(first))
    await page.press("z")
    await page.until(f"{titles} === '{before}'")
    await page.press("m")
    await page.until("document.activeElement.matches('dialog[open] .ways button')")
    await judge(page, axe, "move to")
    await page.value("[...document.querySelectorAll('.ways button')].find(one => one.innerText === 'Done').focus()")
    await page.press("Enter")
    await page.see(first, "[data-status=DONE]")
    await page.until(active.format(first))
    await page.press("ArrowLeft")
    await page.until(active.format("Fell"))
    assert page.complaints == []


@pytest.mark.slow
async def test_two_people_see_what_the_other_one_changes(
    place: World, board: Board, page: Page, tmp_path: Path
) -> None:
    axes = await found(place, "Sharpen")
    async with browsing(tmp_path / "other") as other:
        await enter(page, place, "issues")
        await enter(other, place, f"issues/{axes['identifier']}")
        await other.see("Sharpen the axe", "h1")
        await page.drag(
            IN.format("BACKLOG", axes["id"]), "[data-status=TODO]", hold="document.querySelector('section.takes')"
        )
        await other.see("To do", "header")
        await other.fill("[name=body]", "I take this one")
        await other.press("Enter", control=True)
        await other.see("I take this one", "ol article")
        await other.click("aside .editable:nth-child(3) button")
        await other.until("document.activeElement.matches('aside select')")
        await give(other, "aside select", "urgent")
        await other.press("Enter")
        await page.see("Urgent", IN.format("TODO", axes["id"]))
        assert page.complaints == other.complaints == []


async def choose(page: Page, label: str, text: str) -> None:
    field = f"[...document.querySelectorAll('aside .editable')].find(one => one.innerText.startsWith('{label}'))"
    await page.until(f"{field}.querySelector('button.value')")
    await page.value(f"{field}.querySelector('button.value').click()")
    await page.until("document.activeElement.matches('aside select')")
    await page.value(
        "(select => { select.value = [...select.options].find(one => one.text === WANTED).value;"
        " select.dispatchEvent(new Event('change', {bubbles: true})) })(document.activeElement)".replace(
            "WANTED", repr(text)
        )
    )
    await page.press("Enter")
    await page.until(f"{field}.querySelector('button.value')?.innerText === '{text}'")


@pytest.mark.slow
async def test_an_issue_is_changed_where_it_stands(place: World, board: Board, page: Page, axe: str) -> None:
    fell = await found(place, "Fell")
    await board.label("bug")
    project = await board.project(name="Winter")
    await board.milestone(project, name="First snow")
    await enter(page, place, f"issues/{fell['identifier']}")
    await page.see("agreed", ".main")
    await page.until("document.querySelector('[name=body]')")
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0

    await choose(page, "Priority", "High")
    await choose(page, "Assignee", "Ada Lovelace")
    await choose(page, "Project", "Winter")
    await choose(page, "Milestone", "First snow")
    await page.value(
        "(select => { select.value = [...select.options].find(one => one.text === 'bug').value;"
        " select.dispatchEvent(new Event('change', {bubbles: true})) })(document.querySelector('.labels select'))"
    )
    await page.see("bug", ".labels ul")
    await page.click("[aria-label=Description] button")
    await page.until("document.activeElement.matches('[name=description]')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text="Only **dry** wood")
    await page.press("Enter", control=True)
    await page.see("Only dry wood", ".main")
    await page.fill("[name=body]", f"Look: {HOSTILE}")
    await page.press("Enter", control=True)
    await page.see("onerror", "ol article")
    await page.click("[aria-label=Sub-issues] button")
    await page.fill("dialog [name=title]", "Find the saw")
    await page.press("Enter")
    await page.see("Find the saw", "[aria-label=Sub-issues]")
    wood = await found(place, "Stack")
    await page.click("[aria-label=Relations] button")
    await page.fill("dialog [name=targetIdentifier]", wood["identifier"])
    await page.press("Enter")
    await page.see("Stack the wood", "[aria-label=Relations]")
    await pictures(page, "issue")
    await judge(page, axe, "issue")
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    await page.value(
        "[...document.querySelectorAll('header button')].find(one => one.innerText === 'Request changes').click()"
    )
    await page.fill("dialog [name=comment]", "Cut it shorter")
    await page.press("Enter", control=True)
    await page.see("To do", "header")
    assert (await found(place, "Fell"))["status"] == "TODO"
    assert page.complaints == []


@pytest.mark.slow
async def test_ten_thousand_issues_are_found_and_kept_as_a_view(
    place: World, board: Board, page: Page, axe: str
) -> None:
    columns = stored(Mission)
    values = ", ".join({"id": "'i' || place", "title": "'Task ' || place", "number": "1000 + place",
                        "identifier": "'MANY-' || place", "status": "'TODO'", "priority": "'low'",
                        "trace_id": "'t' || place"}.get(name, name) for name in columns.split(", "))  # fmt: skip
    await place.database.execute(
        f"INSERT INTO missions ({columns}) SELECT {values} FROM missions, generate_series(1, 10000) place"
        " WHERE title = 'Sharpen the axe'"
    )
    await enter(page, place, "issues?view=list")
    await page.see("10,003 issues", "main")
    assert await page.value("document.querySelectorAll('.view li').length") < 60
    await pictures(page, "issues-list")
    await judge(page, axe, "list")
    for _ in range(4):
        before = await page.value("document.querySelector('.view ul').offsetHeight")
        await page.value("document.querySelector('.view').scrollTo(0, 1e9)")
        await page.until(f"document.querySelector('.view ul').offsetHeight > {before}")
    assert await page.value("document.querySelectorAll('.view li').length") < 60
    first = "document.querySelector('.view li').innerText"
    await press(page, "Priority", ".head")
    await page.until(
        f"new URLSearchParams(location.search).get('sort') === 'priority_desc' && {first}.includes('Task')"
    )
    await page.value("document.querySelector('.head button').focus()")
    await page.press("Enter")
    await page.until(f"{first}.includes('Sharpen')")
    assert await page.value("document.activeElement.matches('.head button[aria-pressed=true]')")
    await page.fill("[type=search]", "axe")
    await page.see("1 issue", "main")
    assert await page.value("new URLSearchParams(location.search).get('q')") == "axe"
    await page.value("[...document.querySelectorAll('button')].find(one => one.innerText === 'Save view').click()")
    await page.see("under a name", "dialog")
    await judge(page, axe, "save view")
    await page.fill("dialog [name=name]", "Axes")
    await page.press("Enter")
    await page.until("new URLSearchParams(location.search).get('saved')")
    await page.value("[...document.querySelectorAll('button')].find(one => one.innerText === 'Clear').click()")
    await page.see("10,003 issues", "main")
    await page.see("Axes", "header")
    await page.value(
        "(select => { select.value = [...select.options].find(one => one.text === 'Axes').value;"
        " select.dispatchEvent(new Event('change', {bubbles: true})) })"
        "([...document.querySelectorAll('header select')].find(one => one.innerText.includes('Axes')))"
    )
    await page.see("1 issue", "main")
    assert await page.value("new URLSearchParams(location.search).get('view')") == "list"
    await page.value("document.activeElement.blur()")
    await page.press("j")
    await page.press("Enter")
    await page.see("Sharpen the axe", "h1")
    await page.value("history.back()")
    await page.see("1 issue", "main")
    await page.value("[...document.querySelectorAll('button')].find(one => one.innerText === 'Board').click()")
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_phone_moves_by_the_menu(place: World, board: Board, page: Page, axe: str) -> None:
    await page.look(*PHONE)
    await enter(page, place, "issues")
    await page.click("[data-status=BACKLOG] article button")
    await page.see("In progress", "dialog[open]")
    await pictures(page, "issues-move")
    await page.look(*PHONE)
    await page.value("[...document.querySelectorAll('dialog button')].find(one => one.innerText === 'To do').click()")
    await page.see("Sharpen the axe", "[data-status=TODO]")
    await page.see("is in To do", ".notices")
    await page.value("document.querySelector('.notices button').click()")
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_refused_move_goes_back_and_says_why(place: World, board: Board, page: Page) -> None:
    axes = await found(place, "Sharpen")
    await enter(page, place, "issues")
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    # What the viewer may do is another document than the board.
    await page.until("document.querySelector('[data-status=BACKLOG] article button')")
    await page.command("Network.setBlockedURLs", urls=["*/graphql"])
    await page.value("document.querySelector('[data-status=BACKLOG] [data-issue]').focus()")
    await page.press("]")
    await page.see("did not work", ".notices")
    await page.command("Network.setBlockedURLs", urls=[])
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    assert (await found(place, "Sharpen"))["status"] == axes["status"] == "BACKLOG"


@pytest.mark.slow
async def test_a_reader_sees_text_where_others_act(place: World, board: Board, page: Page, axe: str) -> None:
    mary = await new_user(place, full_name="Mary", email=MEMBER)
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "user_id": mary.id}
    await place.add(Membership(role=Role.VIEWER, accepted_at=now(), **here))
    axes = await found(place, "Sharpen")
    await sign_in(page, place, MEMBER, "issues")
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    assert await page.value("document.querySelectorAll('article button, [draggable=true]').length") == 0
    await page.press("c")
    await page.value("document.querySelector('[data-status=BACKLOG] [data-issue]').focus()")
    await page.press("]")
    assert await page.value("document.querySelector('dialog[open]') === null")
    await page.press("Enter")
    await page.see("Sharpen the axe", "h1")
    await page.see("This needs", "[aria-label='Comments and changes']")
    assert (
        await page.value("document.querySelectorAll('.issue button, .issue :is(input, select, textarea)').length") == 0
    )
    await judge(page, axe, "read only")
    assert (await found(place, "Sharpen"))["status"] == axes["status"]
    assert page.complaints == []


@pytest.mark.slow
async def test_projects_and_their_milestones(place: World, board: Board, page: Page, axe: str) -> None:
    await enter(page, place, "issues/projects")
    await press(page, "New project")
    await page.fill("dialog [name=name]", f"Spring {HOSTILE}")
    await page.press("Enter")
    await page.see("Spring <img", "h1")
    await press(page, "New milestone")
    await page.fill("dialog [name=name]", "First leaf")
    await page.press("Enter")
    await page.see("First leaf", "[aria-label=Milestones]")
    await page.click("[aria-label=Milestones] .editable:nth-child(2) button")
    await page.until("document.activeElement.matches('[type=date]')")
    await page.value("document.activeElement.value = '2030-05-01'")
    await page.value("document.activeElement.dispatchEvent(new Event('input', {bubbles: true}))")
    await page.press("Enter")
    await page.see("2030-05-01", "[aria-label=Milestones]")
    await pictures(page, "project")
    await judge(page, axe, "project")
    await page.click("[aria-label=Milestones] li > button")
    await press(page, "Delete milestone", "dialog")
    await page.see("No milestones yet", "[aria-label=Milestones]")
    await page.open(f"{place.url}/console/{place.workspace.slug}/issues/projects")
    await page.see("Spring <img", "main")
    await pictures(page, "projects")
    await judge(page, axe, "projects")
    await page.press("j")
    await page.press("Enter")
    await page.see("Spring <img", "h1")
    await press(page, "Delete project")
    await press(page, "Delete project", "dialog")
    await page.see("No projects yet", "main")
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    assert page.complaints == []


@pytest.mark.slow
async def test_labels_recurring_issues_and_triage_rules(place: World, board: Board, page: Page, axe: str) -> None:
    await enter(page, place, "issues/settings")
    await press(page, "New label")
    await page.fill("dialog [name=name]", "urgent today")
    await page.press("Enter")
    await page.see("urgent today", "main li")
    await press(page, "Edit")
    await page.until("document.querySelector('dialog [name=name]')?.value === 'urgent today'")
    await page.value("document.querySelector('dialog [name=name]').focus()")
    await page.select("dialog [name=name]")
    await page.command("Input.insertText", text="soon")
    await page.press("Enter")
    await page.see("soon", "main li")
    await pictures(page, "issue-labels")
    await judge(page, axe, "labels")
    await page.value("[...document.querySelectorAll('main nav a')][1].click()")
    await press(page, "New recurring issue")
    await page.fill("dialog [name=title]", "Water the plants")
    await page.value("document.querySelector('dialog [name=cronExpression]').focus()")
    await page.select("dialog [name=cronExpression]")
    await page.command("Input.insertText", text="whenever")
    await page.press("Enter")
    await page.until("document.activeElement.matches('dialog [name=cronExpression][aria-invalid=true]')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text="0 7 * * *")
    await page.press("Enter")
    await page.see("Water the plants", "main li")
    await pictures(page, "issue-recurring")
    await judge(page, axe, "recurring")
    await page.value("[...document.querySelectorAll('main nav a')][2].click()")
    await press(page, "New triage rule")
    await page.see("Text to find", "dialog")
    await judge(page, axe, "triage rule")
    await page.fill("dialog [name=name]", "Saws")
    await page.fill("dialog [name=pattern]", "saw")
    await page.press("Enter")
    await page.see("contains saw", "main li")
    await pictures(page, "issue-triage")
    await judge(page, axe, "triage")
    await press(page, "Apply rules to the backlog")
    await page.see("The rules are applied", ".notices")
    for at in (2, 1, 0):
        await page.value(f"[...document.querySelectorAll('main nav a')][{at}].click()")
        await page.until("document.querySelector('main li')")
        await page.click("main li button:last-child")
        await press(page, "Delete", "dialog")
        await page.until("document.querySelectorAll('main li').length === 0")
    assert page.complaints == []


@pytest.mark.slow
async def test_work_is_started_followed_and_stopped(place: World, board: Board, page: Page, axe: str) -> None:
    axes = await found(place, "Sharpen")
    await board.change({"identifier": axes["identifier"]}, assignee_id=board.worker.id, assignee_type="agent")
    await enter(page, place, f"issues/{axes['identifier'].lower()}")
    await page.until(f"location.pathname.endsWith('{axes['identifier']}')")
    await press(page, "Start work")
    await page.see("In progress", "header")
    await page.see("Work of agents", ".main")
    await page.until("document.querySelector('[aria-label=\"Work of agents\"] li')")
    await pictures(page, "issue-work")
    await judge(page, axe, "work")
    await press(page, "Stop work")
    await press(page, "Stop work", "dialog")
    await page.see("Cancelled", "header")
    await press(page, "Delete")
    await press(page, "Delete", "dialog")
    await page.until("location.pathname.endsWith('/issues')")
    assert await found(place, "Sharpen") is None
    assert page.complaints == []
