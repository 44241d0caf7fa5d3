"""mise_config, in JSON and in its part of TOML."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.mise import MAX_BYTES, Mise, parse_mise
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values, value_or_refusal

TOML = """
# tools of the crew
[tools] # versions
node = "22"
  python="3.12"\t# latest
"npm:prettier" = "3"

[env]
GREETING = "say \\"hi\\" # not a comment"
EMPTY = ""
"""


def test_toml() -> None:
    mise = parse_mise(TOML)
    assert mise.tools == {"node": "22", "python": "3.12", "npm:prettier": "3"}
    assert mise.env == {"GREETING": 'say "hi" # not a comment', "EMPTY": ""}
    assert parse_mise(TOML.replace("\n", "\r\n")) == mise


@each_of("text", ["", "\n\n", "# only a comment", "[tools]", "[ env ]\n[tools]\n"])
def test_toml_may_say_nothing(text: str) -> None:
    mise = parse_mise(text)
    assert not mise.tools
    assert not mise.env


@each_of(
    "line",
    [
        "node = 22",
        "node = '22'",
        'node = """22"""',
        'node = ["22"]',
        'node = { version = "22" }',
        "node = true",
        'node.version = "22"',
        "'node' = \"22\"",
        'node "22"',
        "node =",
        'node = "22" "23"',
        'node = "22',
        'node = "2\\q2"',
        'node = "\\ud800"',
        'node = "a\\',
        'node = "a\x00"',
        'node = "a\x1b"',
        'node = "a\rb"',
        "# comment with \x00",
        'node = "1"\nnode = "2"',
        "[tools]",
        "[settings]",
        "[[tools]]",
        "[tools.node]",
        "[tools",
        "nonsense",
        '= "1"',
        'nöde = "1"',
        '\x0bnode = "1"',
        "\ud800",
    ],
)
def test_toml_refuses_everything_else(line: str) -> None:
    with refused("mise_config"):
        parse_mise(f"[tools]\n{line}\n")


@each_of("text", ['node = "22"', 'tools = "22"', 'env = "x"\n[tools]', '\ufeff[tools]\nnode = "22"', "tools", "---\n"])
def test_toml_pairs_stand_in_a_section(text: str) -> None:
    with refused("mise_config"):
        parse_mise(text)


def test_the_line_is_named() -> None:
    with refused("mise_config", "line 3"):
        parse_mise('[tools]\nnode = "22"\npython = 3\n')


def test_json() -> None:
    assert parse_mise('{"tools": {"node": "22"}, "env": {"A": "b"}, "settings": {"x": 1}}') == Mise(
        tools={"node": "22"}, env={"A": "b"}
    )
    assert parse_mise(' \n{"tools": null}') == Mise()
    assert parse_mise("{}") == Mise()


@each_of(
    "text",
    [
        "{",
        '{"tools": []}',
        '{"tools": {"node": 22}}',
        '{"tools": {"node": null}}',
        '{"env": {"A": true}}',
        '{"env": "A"}',
        "{} x",
    ],
)
def test_json_refused(text: str) -> None:
    with refused("mise_config"):
        parse_mise(text)


def test_size_in_bytes() -> None:
    fits = "#" + "é" * ((MAX_BYTES - 2) // 2) + "#"
    assert len(fits.encode()) == MAX_BYTES
    parse_mise(fits)
    with refused("mise_config", "at most 10240 bytes"):
        parse_mise(fits + "#")


fragments = st.lists(
    st.sampled_from(
        [
            "[tools]",
            "[env]",
            "[",
            "]",
            "node",
            "=",
            '"22"',
            '"',
            "'",
            "#",
            "\\",
            "\n",
            "\r",
            " ",
            "\t",
            ".",
            "{",
            "}",
            "\\u0041",
            "\\ud800",
            "\x00",
            "é",
        ]
    ),
    max_size=30,
).map("".join)


@given(
    anything
    | fragments
    | st.fixed_dictionaries({}, optional={"tools": json_values, "env": json_values}).map(
        lambda d: orjson.dumps(d).decode()
    )
)
def test_total(text: str) -> None:
    mise: Mise | None = value_or_refusal(parse_mise, text)
    if mise is not None:
        text.encode()
        assert "\x00" not in text
        value_or_refusal(lambda _: mise.check_names(), text)


names = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@given(st.dictionaries(names, names, max_size=5), st.dictionaries(names, names, max_size=5), st.booleans())
def test_toml_means_what_was_written(tools: dict[str, str], env: dict[str, str], comments: bool) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) < 32 or c in '"\\\x7f' else c for c in text) + '"'

    end = ' # "x" = [y]\n' if comments else "\n"
    lines = [
        "[tools]",
        *(f"{quoted(k)} = {quoted(v)}" for k, v in tools.items()),
        "[env]",
        *(f"{quoted(k)}={quoted(v)}" for k, v in env.items()),
    ]
    mise = parse_mise("".join(line + end for line in lines))
    assert (mise.tools, mise.env) == (tools, env)


@each_of(
    "mise",
    [
        Mise(tools={"a b": "1"}),
        Mise(tools={"npm:prettier": "1"}),
        Mise(tools={"": "1"}),
        Mise(tools={"t" * 51: "1"}),
        Mise(tools={"node": ""}),
        Mise(tools={"node": "1;x"}),
        Mise(tools={"node": "1" * 31}),
        Mise(tools={"node": "1\n"}),
        Mise(env={"lower": "x"}),
        Mise(env={"1A": "x"}),
        Mise(env={"A-B": "x"}),
        Mise(env={"": "x"}),
    ],
)
def test_names_are_checked_for_a_build(mise: Mise) -> None:
    with refused("mise_config"):
        mise.check_names()


def test_names_that_a_build_takes() -> None:
    Mise(tools={"node": "22.1-rc.1", "t" * 50: "1" * 30}, env={"_A1": "anything; at all\n"}).check_names()
    Mise().check_names()
