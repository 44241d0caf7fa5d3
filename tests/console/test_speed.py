"""How long the console takes, on a processor that is slowed four times: first screens, changes of screen, scrolling.

`make console-bench` writes the medians and the bytes to bench/console.md. Beside other tests the bars are wider.
"""

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from crewship.perimeter import console, pages
from models.staff.runs import Run
from tests.console.deck import enter, page, place
from tests.console.test_runs import MANY, SPANS, failed, more_spans
from tests.process.browser import CHROMIUM, Page
from tests.world import World

__all__ = ["failed", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
TABLE = os.environ.get("CONSOLE_TABLE")
BUSY = 1 if TABLE else 4
"""What the bars are multiplied by on a machine that does other work."""
FIRST, CHANGE = 1_000 * BUSY, 100 * BUSY
"""Milliseconds to a usable screen: of a new tab, and from another screen whose data is warm."""
SLOWED = 4
TIMES = 7
STEPS, STEP = 120, 480
"""Frames of a scroll, and pixels in each."""
LONG = 34
"""Milliseconds: a frame that takes longer was dropped, at 60 a second and one to spare."""
USABLE = "document.querySelector('main h1') && !document.querySelector('main .skeleton')"
WATCH = f"""
    const watch = new MutationObserver(() => {{
        if (window.usable === undefined && {USABLE}) window.usable = performance.now();
    }});
    watch.observe(document, {{childList: true, subtree: true}});
"""
LEAVE = f"""
    (link => new Promise(done => {{
        const began = performance.now();
        const left = document.querySelector('main h1').innerText;
        const look = () => {USABLE} && document.querySelector('main h1').innerText !== left
            ? done(performance.now() - began) : requestAnimationFrame(look);
        link.dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true}}));
        look();
    }}))(document.querySelector(SELECTOR))
"""
SCROLL = f"""
    new Promise(done => {{
        const view = document.querySelector('.view');
        const took = [];
        let last = performance.now();
        const step = () => {{
            const present = performance.now();
            took.push(present - last);
            last = present;
            view.scrollTop += {STEP};
            took.length < {STEPS} ? requestAnimationFrame(step) : done(took.slice(2));
        }};
        requestAnimationFrame(step);
    }})
"""
HEAD = """# The console

Bytes and times of the console, written by `make console-bench`. Times are medians of {times} in headless Chromium, on a
processor slowed {slowed} times by the browser, at a load of {load:.1f} on {cores} cores. Scrolling is not slowed.

"""


async def paths_of(page: Page) -> list[str]:
    """The screens that the navigation leads to."""
    links = await page.value("[...document.querySelectorAll('nav li a')].map(link => link.pathname)")
    return [link.split("/", 3)[3] if link.count("/") > 2 else "" for link in links]


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


async def slowed(page: Page, rate: int) -> None:
    await page.command("Emulation.setCPUThrottlingRate", rate=rate)


async def first_screens(page: Page, place: World, paths: list[str]) -> dict[str, float]:
    """From the address to what can be used, without any cache."""
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    await page.command("Network.setCacheDisabled", cacheDisabled=True)
    made = {}
    for path in paths:
        took = []
        for _ in range(TIMES):
            await page.open("about:blank")
            await page.open(f"{place.url}/console/{place.workspace.slug}/{path}")
            await page.until("window.usable")
            took.append(await page.value("window.usable"))
        made[path or "now"] = statistics.median(took)
    await page.command("Network.setCacheDisabled", cacheDisabled=False)
    return made


async def changes(page: Page, paths: list[str]) -> dict[str, float]:
    """From a press on a link to the screen, when its code and its data have been read before."""
    links = [f"nav li:nth-child({number}) a" for number in range(1, len(paths) + 1)]
    took: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(TIMES + 1):
        for path, link in zip(paths, links, strict=True):
            took[path].append(await page.value(LEAVE.replace("SELECTOR", json.dumps(link))))
    return {path or "now": statistics.median(each[1:]) for path, each in took.items()}


async def dropped(page: Page, place: World, path: str) -> tuple[int, float]:
    """Frames that were dropped in a scroll, and the longest."""
    await page.open(f"{place.url}/console/{place.workspace.slug}/{path}")
    await page.until("document.querySelectorAll('.view li').length > 10")
    frames = await page.value(SCROLL)
    return sum(frame > LONG for frame in frames), max(frames)


async def test_screens_come_at_once_and_lists_scroll(place: World, failed: Run, page: Page) -> None:
    await more_spans(place, failed)
    await enter(page, place)
    paths = await paths_of(page)
    await slowed(page, SLOWED)
    first = await first_screens(page, place, paths)
    changed = await changes(page, paths)
    await slowed(page, 1)
    scrolls = {f"{MANY:,} runs": "runs", f"{SPANS:,} spans": f"runs/{failed.id}"}
    frames = {name: await dropped(page, place, path) for name, path in scrolls.items()}
    if TABLE:
        Path(TABLE).write_text(written(first, changed, frames))
    assert {path: took for path, took in first.items() if took > FIRST} == {}
    assert {path: took for path, took in changed.items() if took > CHANGE} == {}
    if TABLE:
        assert {name: lost for name, (lost, _) in frames.items() if lost} == {}


def written(first: dict[str, float], changed: dict[str, float], frames: dict[str, tuple[int, float]]) -> str:
    sizes = json.loads((console.ROOT / "sizes.json").read_text())
    head = HEAD.format(times=TIMES, slowed=SLOWED, load=os.getloadavg()[0], cores=os.cpu_count())
    times = [(path, f"{took:.0f}", f"{changed[path]:.0f}" if path in changed else "-") for path, took in first.items()]
    scrolled = [(name, str(lost), f"{longest:.0f}") for name, (lost, longest) in frames.items()]
    bytes = [
        ("before the first screen", f"{sizes['entry']:,}", "60,000"),
        ("styles before it", f"{sizes['style']:,}", "15,000"),
    ]
    terminal = sum(pages.ASSETS[f"vendor/xterm{file}"].path.stat().st_size for file in (".js", "-fit.js", ".css"))
    bytes += [("xterm.js, when a terminal is shown", f"{terminal:,}", "-")]
    bytes += [(name, f"{size:,}", "30,000") for name, size in (sizes["screens"] | sizes["parts"]).items()]
    parts = (
        table(("screen", "ms to a usable first screen (1,000)", "ms to change to it (100)"), times),
        table(("scrolled", "frames dropped of 118", "longest, ms"), scrolled),
        table(("bytes, gzip", "now", "allowed"), bytes),
    )
    return head + "\n".join(parts)
