"""How a page is judged: by axe in light and dark, and by whether it fits a small screen."""

from pathlib import Path
from typing import Any

import pytest

from tests.npm import NODE, NPM, node_modules
from tests.process.browser import Page

HERE = Path(__file__).parent
SMALL, LARGE = 360, 1280
RUN = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(SAID))"
SAID = "rule => [rule.id, rule.help, ...rule.nodes.map(node => node.html.slice(0, 200))].join('\\n')"


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    if NODE is None or NPM is None:
        pytest.skip("axe WAS NOT RUN: it comes by npm")
    return (node_modules(request.config, HERE / "axe" / "package.json", "axe") / "axe-core" / "axe.min.js").read_text()


async def judge(page: Page, axe: str, name: str) -> None:
    """Asserts that what is shown now can be used by everybody, in both schemes and on a small screen."""
    if not await page.value("typeof axe !== 'undefined'"):
        await page.value(axe)
    found: dict[str, Any] = {}
    for dark in (False, True):
        for width in (LARGE, SMALL):
            await page.look(width, dark=dark)
            found[f"{name} {'dark' if dark else 'light'} {width}"] = await page.value(RUN.replace("SAID", SAID))
            assert await page.value("document.documentElement.scrollWidth <= innerWidth"), f"{name} at {width}"
    complaints = {where: said for where, said in found.items() if said}
    assert not complaints, complaints
    await page.look()
