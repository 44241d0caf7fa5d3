"""What a picture from a client may have, and what is refused."""

import pytest

from resolvers.rules.svg import NotAllowed, check_svg
from tests.every import each_of

NS = 'xmlns="http://www.w3.org/2000/svg"'
DRAWN = f"""<svg {NS} viewBox="0 0 762 762" fill="none" shape-rendering="auto" width="128" height="128">
<metadata xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:dcterms="http://purl.org/dc/terms/"><rdf:RDF><rdf:Description><dc:title>Thumbs</dc:title>
  <dc:creator>A. &amp; B.</dc:creator><dc:source xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:type="dcterms:URI">https://example.com/a</dc:source><dcterms:license xsi:type="dcterms:URI"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">https://creativecommons.org/x</dcterms:license>
</rdf:Description></rdf:RDF></metadata>
<defs><linearGradient id="g" gradientUnits="userSpaceOnUse" gradientTransform="rotate(45)" spreadMethod="pad">
<stop offset="0%" stop-color="rgb(1, 2, 3)" stop-opacity=".5"/></linearGradient>
<clipPath id="c"><rect x="0" y="0" width="9" height="9" rx="1.5" ry="1"/></clipPath></defs>
<mask id="viewboxMask" mask-type="alpha"><rect width="100%" height="100%" rx="0" ry="0" x="0" y="0" fill="#fff"/></mask>
<g mask="url(#viewboxMask)" clip-path="url('#c')" transform="translate(-9 20) scale(1.2) matrix(1,0,0,1,0,0)">
<path d="M95 53.33c0 29.46-16.42 53.34-36.67-.5e-3z" fill="url(&quot;#g&quot;)" stroke-width="2" stroke-linecap="round"
 style="mix-blend-mode: multiply; fill: url(#g); isolation:isolate;" fill-rule="evenodd" class="a b"/>
<polygon points="1,2 3,4"/><line x1="0" y1="0" x2="1" y2="1"/><ellipse cx="1" cy="1" rx="2" ry="3"/></g></svg>"""


@each_of(
    "text",
    [
        DRAWN,
        f"<svg {NS}/>",
        "<svg/>",
        f"<SVG {NS}><CIRCLE R='1'/></SVG>",
        f"<svg {NS}><title>a &lt;script&gt; in words</title><desc><![CDATA[<script>]]></desc></svg>",
    ],
)
def test_what_is_drawn_is_taken(text: str) -> None:
    check_svg(text)


def inside(part: str) -> str:
    return f"<svg {NS}>{part}</svg>"


@each_of(
    "text",
    [
        "",
        "text",
        "<svg",
        f"<svg {NS}></svg><svg {NS}/>",
        f"<svg {NS}/>text",
        f"<g {NS}/>",
        f'<?xml version="1.0"?><svg {NS}/>',
        f"<!DOCTYPE svg><svg {NS}/>",
        f'<!DOCTYPE svg [<!ENTITY a "b">]><svg {NS}>&a;</svg>',
        f'<!DOCTYPE svg SYSTEM "http://example.com/x.dtd"><svg {NS}/>',
        inside("&a;"),
        inside("<!-- a -->"),
        inside("<?php a ?>"),
        inside("<script>alert(1)</script>"),
        inside("<SCRIPT/>"),
        inside("<foreignObject/>"),
        inside("<style>*{fill:red}</style>"),
        inside('<image href="a.png"/>'),
        inside('<use href="#a"/>'),
        inside('<a href="https://example.com"/>'),
        inside('<animate attributeName="fill"/>'),
        inside('<filter id="a"/>'),
        inside('<x:script xmlns:x="http://www.w3.org/2000/svg"/>'),
        inside('<title xmlns="http://www.w3.org/1999/xhtml"/>'),
        inside('<path onclick="alert(1)"/>'),
        inside('<path ONLOAD="alert(1)"/>'),
        inside('<path href="#a"/>'),
        inside('<path xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="#a"/>'),
        inside('<path xmlns:xlink="http://www.w3.org/1999/xlink" xlink:type="a"/>'),
        inside('<path xml:base="http://example.com/"/>'),
        inside('<path fill="url(http://example.com/#a)"/>'),
        inside('<path fill="URL(//example.com/#a)"/>'),
        inside('<path fill="url(#a) url(http://example.com)"/>'),
        inside('<path fill="url(&quot;#a&quot;http)"/>'),
        inside('<path fill="u&#92;72l(http://example.com)"/>'),
        inside('<path style="fill:url(http://example.com)"/>'),
        inside('<path style="background:image-set(&quot;http://example.com&quot; 1x)"/>'),
        inside('<path style="fill:expression(alert(1))"/>'),
        inside('<path style="fill:red;@import &quot;http://example.com&quot;"/>'),
        inside('<path style="fill:red/*;*/:url(http://example.com)"/>'),
        inside('<path style="f\\69ll:red"/>'),
        inside('<path fill="javascript:alert(1)"/>'),
        inside('<path mask="data:text/html,a"/>'),
        inside('<metadata about="javascript:alert(1)"/>'),
        inside('<metadata resource=" vbscript:a"/>'),
        inside('<metadata resource="data:text/html,a"/>'),
        inside("<g>" * 100 + "</g>" * 100),
        inside('<path fill="\ud800"/>'),
    ],
)
def test_all_else_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed):
        check_svg(text)


def test_a_long_value_is_read_in_no_time() -> None:
    for value in ("a" * 60_000 + "(", "rgb(1) " * 9_000 + "(", "rgb" * 20_000, "translatex" * 6_000 + "("):
        with pytest.raises(NotAllowed):
            check_svg(inside(f'<path fill="{value}\'"/>'))
