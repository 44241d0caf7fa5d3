"""Answers in Markdown: what they become, that markup stays text, and what a growing one costs."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.every import each_of
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.workbench import page, place
from tests.world import World

__all__ = ["page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

MADE = "import('/static/markdown.js').then(({ Markdown }) => { const view = new Markdown(); GROW; return VALUE; })"
ANSWER = """# Plan

Two **steps** with `code` and *care*, see [the page](https://example.com/a_b).

1. First
   - nested
2. Second

| Name | Size |
|:-----|-----:|
| a    | 1    |
| b    | 2    |

> Quoted words
> go on

```python
def f(x):
    return "<b>" * x
```

After it all.
"""


@pytest.fixture(scope="module")
async def tab(place: World, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Page]:
    async with browsing(tmp_path_factory.mktemp("profile")) as made:
        await made.open(f"{place.url}/login")
        await made.until("!document.querySelector('#login').hidden")
        yield made
        assert made.complaints == []


async def html(page: Page, source: str) -> str:
    grow = f"view.update({{ text: {json.dumps(source)} }})"
    return str(await page.value(MADE.replace("GROW", grow).replace("VALUE", "view.element.innerHTML")))


def link(address: str, text: str) -> str:
    return f'<a href="{address}" rel="noopener noreferrer" target="_blank">{text}</a>'


CASES = [
    ("plain\nlines", "<p>plain\nlines</p>"),
    ("a\n\n\nb", "<p>a</p><p>b</p>"),
    ("# A\n## B\n###### C #", "<h3>A</h3><h4>B</h4><h6>C</h6>"),
    ("#no heading", "<p>#no heading</p>"),
    ("**b** *i* ***bi*** __b__ _i_ ~~s~~", "<p><strong>b</strong> <em>i</em> <em><strong>bi</strong></em>"
     " <strong>b</strong> <em>i</em> <s>s</s></p>"),
    ("*a **b** c* **a *b***", "<p><em>a <strong>b</strong> c</em> <strong>a <em>b</em></strong></p>"),
    ("snake_case_name 2 * 3 * 4 **open", "<p>snake_case_name 2 * 3 * 4 **open</p>"),
    ("`a*b*` ``x`y`` \\*no\\*", "<p><code>a*b*</code> <code>x`y</code> *no*</p>"),
    ("- a\n- b\n  - c\n\n  d", "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul><p>d</p></li></ul>"),
    ("3. a\n4. b", '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>'),
    ("- [ ] a\n- [x] b", "<ul><li><p>☐ a</p></li><li><p>☑ b</p></li></ul>"),
    ("text\n- a", "<p>text</p><ul><li><p>a</p></li></ul>"),
    ("text\n-5 degrees", "<p>text\n-5 degrees</p>"),
    ("a\n\n---\nb", "<p>a</p><hr><p>b</p>"),
    ("> a\n> - b", "<blockquote><p>a</p><ul><li><p>b</p></li></ul></blockquote>"),
    ("a | b", "<p>a | b</p>"),
    ("https://example.com/a_b_(c). And <https://example.com/>", "<p>" + link("https://example.com/a_b_(c)", "https://example.com/a_b_(c)")
     + ". And " + link("https://example.com/", "https://example.com/") + "</p>"),
    ('[**a**](https://example.com "t") [m](mailto:a@example.com)',
     "<p>" + link("https://example.com/", "<strong>a</strong>") + " " + link("mailto:a@example.com", "m") + "</p>"),
    ("![seen](https://example.com/p.png)", "<p>" + link("https://example.com/p.png", "seen") + "</p>"),
    ("[[a]](https://example.com/2)", "<p>" + link("https://example.com/2", "[a]") + "</p>"),
]  # fmt: skip

HARMLESS = [
    "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](java&#115;cript:alert(1))", "[a](data:text/html,x)",
    "[a](vbscript:x)", "[a](/api/auth/signout)", "[a](//example.com/)", "[a](<java\tscript:alert(1)>)",
    "[a](file:///etc/passwd)", "[a](blob:https://example.com/x)", "<javascript:alert(1)>",
    "![a](data:image/png;base64,AA==)", "[a](\x01javascript:alert(1))",
]  # fmt: skip


@each_of(("source", "expected"), CASES, ids=[source[:24] for source, _ in CASES])
async def test_what_it_becomes(tab: Page, source: str, expected: str) -> None:
    assert await html(tab, source) == expected


@each_of("source", HARMLESS)
async def test_other_addresses_are_text(tab: Page, source: str) -> None:
    made = await html(tab, source)
    assert "<a " not in made
    assert "<img" not in made
    assert "a" in made


async def test_markup_is_text_wherever_it_stands(tab: Page) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    places = "# H\n\nH\n\n- H\n\n> H\n\n| H | b |\n|---|---|\n| H | H |\n\n`H` **H** [H](https://example.com)\n\n```H\nH\n```\n"
    source = places.replace("H", hostile)
    grow = f"view.update({{ text: {json.dumps(source)} }})"
    count = "[view.element.querySelectorAll('img, script').length, view.element.textContent]"
    images, said = await tab.value(MADE.replace("GROW", grow).replace("VALUE", count))
    assert images == 0
    assert said.count("onerror=alert(1)>") >= 9


async def test_pieces_come_to_the_same_as_the_whole(tab: Page) -> None:
    more = "- a\n- b\n\ntext\n-\n--\n---\n***bold*** end\n\n| a |\n|-\n| b |\n\n"
    more += "1. x\n\n   y\n2. z\n\n    indented\n    code\n\n```\nopen"
    source = json.dumps(ANSWER + more)
    for step in (1, 3, 17):
        loop = f"for (let n = {step}; n < {source}.length + {step}; n += {step})"
        grow = f"{loop} view.update({{ text: {source}.slice(0, n) }})"
        pieces = await tab.value(MADE.replace("GROW", grow).replace("VALUE", "view.element.innerHTML"))
        assert pieces == await html(tab, ANSWER + more), step


async def test_what_stands_is_left_alone(tab: Page) -> None:
    """Blocks before the open one stay the same nodes, and so does the code block that grows."""
    grow = f"let text = {json.dumps(ANSWER)}; view.update({{ text }}); const first = [...view.element.children];"
    grow += " const watch = new MutationObserver(() => {});"
    grow += " watch.observe(view.element, { childList: true, subtree: true });"
    grow += " for (let n = 0; n < 200; n += 1) view.update({ text: (text += ' word') });"
    grow += " const touched = new Set(watch.takeRecords().flatMap(({ addedNodes }) => [...addedNodes]));"
    same = "[first.slice(0, -2).every((node, at) => view.element.children[at] === node), touched.size, first.length]"
    unchanged, touched, blocks = await tab.value(MADE.replace("GROW", grow).replace("VALUE", same))
    assert unchanged
    assert touched <= 400, "the open block, and the one before it where a line has just begun"
    assert blocks == 7
    grow = "view.update({ text: '```py\\na' }); const code = view.element.querySelector('code');"
    grow += " for (let text = '```py\\na', n = 0; n < 50; n += 1) view.update({ text: (text += '\\nline') });"
    value = "code === view.element.querySelector('code') && code.textContent.length"
    assert await tab.value(MADE.replace("GROW", grow).replace("VALUE", value)) == 251


@each_of(
    "piece", ["[", "[a](", "*a ", "**", "`a``", "_a_b", "> ", "- ", "| a ", "~~x ", "<https://", "***x", "\\", "[[a]"]
)
async def test_no_text_takes_long(tab: Page, piece: str) -> None:
    text = json.dumps(piece * (40_000 // len(piece)))
    grow = f"const began = performance.now(); view.update({{ text: {text} }})"
    took = await tab.value(MADE.replace("GROW", grow).replace("VALUE", "performance.now() - began"))
    assert took < 3000
