"""A run that is an hour long: its turn folds, stays at its end, and is read in parts; what is far above is found."""

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from models.staff.chats import Chat, Message
from tests.console.deck import PHONE, enter, page, pictures, place
from tests.console.test_chat import HOSTILE, LAST, PICTURE, TURNS, begin, done, say, unfold
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.players import RESULT, Player, call, returned, text
from tests.process.workbench import player, run_of
from tests.world import World

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
CALLS, WORDS = 500, 1000
PARTS = "document.querySelectorAll('[role=log] > ol > li:last-child .parts *').length"
SUMMARY = f"{LAST}.querySelector('.parts > details > summary strong')?.innerText"
VIEW = "document.querySelector('.transcript')"
AT_END = f"{VIEW}.scrollHeight - {VIEW}.scrollTop - {VIEW}.clientHeight < 48"


def long_work(*pauses: float) -> list[Any]:
    """2,000 frames: calls with their results, and words between them."""
    steps: list[Any] = []
    for at in range(CALLS):
        steps += [call("Bash", f"t{at}", command=f"make part-{at}"), returned(f"t{at}", f"built {at}\n" * 40)]
        steps += [text(f"Part {at} "), text(f"is made, {'word ' * 10}.\n\n")]
    return [*steps, *pauses, text("All is **built**."), RESULT]


async def weight(page: Page) -> tuple[int, int]:
    """Elements of the document, and bytes that its scripts hold."""
    await page.command("HeapProfiler.collectGarbage")
    heap = await page.command("Runtime.getHeapUsage")
    return await page.value("document.querySelectorAll('*').length"), int(heap["usedSize"])


@pytest.mark.slow
async def test_an_hour_of_work_stays_readable(place: World, player: Player, page: Page) -> None:
    player.play("short", text("Short."), RESULT)
    player.play("build all", *long_work(*([0.1] * 150)))
    await begin(page, place, "short")
    await done(page)
    nodes, heap = await weight(page)
    await say(page, "build all")
    await page.see(f"Part {CALLS - 1} is made", "[role=log]", within=180)
    await page.until(AT_END)
    assert not await page.value("document.querySelector('.newest')")
    assert int((await page.value(SUMMARY)).split()[0]) >= CALLS - 10
    more, larger = await weight(page)
    print(f"elements {nodes} -> {more}, heap {heap} -> {larger}")
    assert more - nodes < 250
    assert larger - heap < 30_000_000
    # a page that is loaded meanwhile reads the end of it, and the rest when a person asks
    await page.reload()
    await page.see(f"Part {CALLS - 1} is made", "[role=log]")
    assert await page.value(f"{LAST}.querySelectorAll('.parts details').length") < 20
    begun = await page.value("performance.now()")
    print(f"shown {begun:.0f} ms after the reload")
    await done(page)
    await page.until(f"{LAST}.innerText.includes('All is built.')")
    await page.value(f"{LAST}.querySelector('.parts > details > summary').click()")
    await page.see("Part 0 is made", "[role=log]")
    assert (await page.value(SUMMARY)).startswith(f"{CALLS} calls, ")
    first = f"{LAST}.querySelector('.parts details details')"
    await page.value(f"{first}.querySelector('summary').click()")
    await page.see("built 0", "[role=log] details details")
    assert await page.value(f"{LAST}.querySelectorAll('.parts details details').length") <= 101
    # stored: the same, of the message
    await page.reload()
    await page.until(f"{TURNS}.length === 4 && {SUMMARY}")
    assert await page.value(f"{LAST}.innerText.includes('All is built.')")
    await page.value(f"{LAST}.querySelector('.parts > details > summary').click()")
    await page.see("Part 0 is made", "[role=log]")
    assert page.complaints == []


@pytest.mark.slow
async def test_what_a_person_reads_stays_where_it_is(place: World, player: Player, page: Page) -> None:
    """While the turn goes on, ends, and is folded for everybody else."""
    calls = [
        (call("Bash", f"r{at}", command=f"make {at}"), returned(f"r{at}", f"built {at}\n" * 9)) for at in range(40)
    ]
    steps = [each for both in calls for each in both]
    player.play("read along", *steps[:40], *([0.1] * 30), *steps[40:], text("All is built."), RESULT)
    await begin(page, place, "read along")
    await page.see("make 19", "[role=log]")
    await page.value(f"window.read = {LAST}.querySelectorAll('.parts > details')[3]; window.read.innerText")
    await page.value("window.read.querySelector('summary').click()")
    await page.see("built", "[role=log] details[open]")
    top = await page.value("window.read.getBoundingClientRect().top")
    await page.see("All is built.", "[role=log]")
    await done(page)
    assert await page.value("window.read.isConnected && window.read.open")
    assert abs(await page.value("window.read.getBoundingClientRect().top") - top) < 2
    await page.click(".newest")
    await page.until(f"!window.read.isConnected && {AT_END}")
    assert page.complaints == []


async def filled(place: World, many: int = 300) -> str:
    """A chat of so many messages, with a word in a new one, and in the fold of an old one."""
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    chat = Chat(title="Long talk", agent_id=agent, workspace_id=place.workspace.id)
    said = {3: f"The Heron nests {HOSTILE}", many - 2: "Another **heron** flies"}
    work: list[Any] = [{"type": "tool_call", "content": "Bash", "tool_id": f"t{at}"} for at in range(8)]
    old = [{"type": "text", "content": said[3]}, *work, {"type": "text", "content": "So it is."}]
    rows = [
        Message(
            chat_id=chat.id, seq=seq, role="assistant" if seq % 2 else "user", content=said.get(seq, f"Message {seq}"),
            parts=old if seq == 3 else [{"type": "text", "content": f"Message {seq}"}] if seq % 2 else None,
            workspace_id=place.workspace.id,
        )
        for seq in range(1, many + 1)
    ]  # fmt: skip
    await place.add(chat)
    await place.add(*rows)
    return chat.id


@pytest.mark.slow
async def test_words_are_found_in_all_of_a_chat(place: World, page: Page, axe: str) -> None:
    """By keyboard alone, and on a phone."""
    chat = await filled(place)
    await page.look()
    await enter(page, place, f"chat/{chat}")
    await page.see("Message 300", "[role=log]")
    await page.press("f", control=True)
    await page.until("document.activeElement.type === 'search' && document.activeElement.closest('[role=search]')")
    await page.command("Input.insertText", text="HERON")
    await page.see("1 of 2", "[role=search]")
    marked = "[...(CSS.highlights.get('found') ?? [])].map(range => range.toString())"
    seen = "document.querySelector('[role=log] [aria-current]')"
    await page.until(f"{marked}.join() === 'heron' && {seen}.innerText.includes('flies')")
    await page.press("Enter")
    await page.see("2 of 2", "[role=search]")
    await page.until(f"{marked}.join() === 'Heron' && {seen}.innerText.includes('nests')")
    place = "[...CSS.highlights.get('found')][0].getBoundingClientRect()"
    within = f"(box => box.top > 150 && box.bottom < innerHeight - 100)({place})"
    await page.until(within)
    assert await page.value("document.querySelectorAll('[role=log] > ol > li').length") <= 60
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    await pictures(page, "chat-found")
    await judge(page, axe, "search in a chat")
    await page.look(*PHONE)
    await page.until(within)
    await page.press("Enter", shift=True)
    await page.see("1 of 2", "[role=search]")
    await page.until(f"{seen}.innerText.includes('flies')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text="nobody said that")
    await page.see("Nothing found", "[role=search]")
    await page.press("Escape")
    await page.until("!document.querySelector('[role=search]') && !document.querySelector('[role=log] [aria-current]')")
    assert page.complaints == []


def png(width: int, height: int) -> str:
    """Its header declares this size; its content is smaller."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\xaa" * ((width + 7) // 8)) * min(height, 400))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")).decode()


VECTORS = base64.b64encode(f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE}</svg>".encode()).decode()


@pytest.mark.slow
async def test_images_of_tools_are_images_and_nothing_else_is(place: World, player: Player, page: Page) -> None:
    good = png(320, 200)
    told = {"content": [{"type": "text", "text": "A chart"}, {"type": "image", "data": good, "mimeType": "image/png"}]}
    outputs = [
        json.dumps(told),
        f"see data:image/png;base64,{PICTURE} here",
        json.dumps([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": good}}]),
        # what is no raster image, or too large, is a text
        f"data:image/svg+xml;base64,{VECTORS}",
        f"data:image/png;base64,{VECTORS}",
        f"data:image/png;base64,{png(60_000, 60_000)}",
        json.dumps({"type": "image", "data": 'x" onerror="alert(1)', "mimeType": "image/png"}),
        f"data:text/html;base64,{VECTORS}",
    ]
    pairs = [(call("Show", f"s{at}"), returned(f"s{at}", output)) for at, output in enumerate(outputs)]
    steps = [each for both in pairs for each in both]
    player.play("show", *steps[:12], RESULT)
    shot = {"type": "image", "content": good, "metadata": {"media_type": "image/png", "tool_use_id": "x"}}
    player.play("show more", *steps[12:], call("Shot", "x"), returned("x", "[image]"), shot, RESULT)
    await begin(page, place, "show")
    await done(page)
    shown = f"[...{LAST}.querySelectorAll('.parts details')]"
    await unfold(page, shown, 6)
    counted = f"{shown}.map(one => one.querySelectorAll('img').length).join()"
    await page.until(f"{counted} === '1,1,1,0,0,0'")
    await page.until(f"[...{LAST}.querySelectorAll('img')].every(one => one.naturalWidth)")
    await page.see("see [image/png] here", "[role=log]")
    assert await page.value(f"{LAST}.querySelectorAll('.fault').length") == 3
    await pictures(page, "chat-images")
    await say(page, "show more")
    await done(page)
    for _ in range(2):  # as it came, and as it is stored
        await page.until(f"{LAST}.querySelectorAll('.parts > img').length === 1")
        await unfold(page, shown, 3)
        await page.until(f"{counted} === '0,0,0'")
        assert "owned" not in await page.value("document.title")
        await page.reload()
        await page.until(f"{TURNS}.length === 4")
    assert await page.value("document.querySelectorAll('main :is(script, svg image, iframe, object)').length") == 0
    assert page.complaints == []


@pytest.mark.slow
async def test_images_that_are_attached_are_shown(place: World, player: Player, page: Page) -> None:
    await begin(page, place, "with an image")
    await done(page)
    drop = """(place => { const data = new DataTransfer();
        const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
        data.items.add(new File([bytes('GOOD')], 'chart.png')); data.items.add(new File([bytes('BAD')], 'bad.png'));
        place.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})) })
        (document.querySelector('.transcript'))"""
    await page.value(drop.replace("GOOD", png(320, 200)).replace("BAD", VECTORS))
    await page.until("document.querySelector('.end li img')?.naturalWidth === 320")
    await page.until("document.querySelectorAll('.end li').length === 2")
    assert await page.value("document.querySelectorAll('.end li img').length") == 1, "the other one is no image"
    folder = f"attachments/{(await run_of(place, 'with an image'))['chat_id']}"
    player.play(
        "look at it", call("Read", "r", file_path=f"/output/scout/{folder}/chart.png"), returned("r", "ok"), RESULT
    )
    await say(page, "look at it")
    await done(page)
    await page.value(f"{LAST}.querySelector('details summary').click()")
    await page.see("Show chart.png", "[role=log]")
    await page.value(f"{LAST}.querySelector('details button').click()")
    await page.until(f"{LAST}.querySelector('img')?.naturalWidth === 320")
    assert page.complaints == []
