"""Secrets are taken out however the text is cut, other text comes whole and at once, hostile text costs no time."""

import base64
import json
import string
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers.instance.crypto import CLI_PREFIXES
from resolvers.rules.redaction import DEEPEST, Redactor, StreamRedactor
from resolvers.rules.secret_shapes import REACH
from tests.every import each_of

ALNUM = string.ascii_letters + string.digits
WORD = ALNUM + "_-"


def _body(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least + 40)


def _random(least: int) -> st.SearchStrategy[str]:
    """As keys are: no two characters alike in a row of twelve, with letters and digits."""
    return (
        st.permutations(ALNUM)
        .map(lambda letters: "".join(letters)[:least])
        .filter(lambda t: any(map(str.isdigit, t)) and any(map(str.isalpha, t)))
    )


def _pem(key: Any, form: serialization.PrivateFormat) -> str:
    return str(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode())


RSA_KEY = _pem(rsa.generate_private_key(65537, 2048), serialization.PrivateFormat.TraditionalOpenSSL)
EC_KEY = _pem(ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.PKCS8)
SSH_KEY = _pem(ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.OpenSSH)


def _segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JWTS = st.builds(
    lambda claims, signature: f"{_segment({'alg': 'HS256', 'typ': 'JWT'})}.{_segment(claims)}.{signature}",
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=40), min_size=1),
    _body(WORD, 43),
)

# Each is a text and the part of it that must not be shown.
BARE: dict[str, st.SearchStrategy[str]] = {
    "openai": st.builds(
        "sk-{}{}".format, st.sampled_from(["", "proj-", "svcacct-", "ant-api03-", "or-v1-"]), _body(WORD, 40)
    ),
    "google": st.builds("AIza{}".format, _body(WORD, 35, 35)),
    "github": st.builds("{}{}".format, st.sampled_from(["ghp_", "gho_", "ghs_", "github_pat_"]), _body(ALNUM, 36)),
    "gitlab": st.builds("glpat-{}".format, _body(WORD, 20)),
    "slack": st.builds("xox{}-{}".format, st.sampled_from("abp"), _body(ALNUM + "-", 30)),
    "stripe": st.builds("{}_live_{}".format, st.sampled_from(["sk", "rk"]), _body(ALNUM, 24)),
    "aws": st.builds("AKIA{}".format, _body(string.ascii_uppercase + "234567", 16, 16)),
    "npm": st.builds("npm_{}".format, _body(ALNUM, 36)),
    "telegram": st.builds(
        "{}:AA{}".format, _body(string.digits, 9, 10).filter(lambda d: d[0] != "0"), _body(WORD, 33, 33)
    ),
    "own": st.builds("{}{}".format, st.sampled_from(sorted(CLI_PREFIXES.values())), _body(WORD, 32)),
    "jwt": JWTS,
    "pem": st.sampled_from([RSA_KEY.strip(), EC_KEY.strip(), SSH_KEY.strip()]),
}
NAMES = st.sampled_from(
    ["API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "client_secret", "x-api-key", "AccountKey", "sessionToken"]
)
PASSWORDS = st.text(string.ascii_letters + string.digits + "!#$%*+-./?@^_~", min_size=6, max_size=40).map(
    lambda t: "s3" + t
)
GIVEN: dict[str, st.SearchStrategy[tuple[str, str]]] = {
    "secret": st.builds(
        lambda name, form, value: (form.format(name, value), value),
        NAMES,
        st.sampled_from(["{}={}", "{} = '{}'", '"{}": "{}"', "{}: {}", '\\"{}\\": \\"{}\\"', "{} := `{}`"]),
        _random(24),
    ),
    "password": st.builds(
        lambda name, form, value: (form.format(name, value), value),
        st.sampled_from(["password", "PGPASSWORD", "db_passwd", "passphrase", "Password"]),
        st.sampled_from(["{}={}", '{} = "{}"', '"{}": "{}"', "{}: {}", "--{}={}"]),
        PASSWORDS,
    ),
    "sentence": st.builds(
        lambda words: (f'password="{words}"', words), st.lists(_body(ALNUM, 3, 9), min_size=2, max_size=6).map(" ".join)
    ),
    "bearer": st.builds(lambda v: (f"Bearer {v}", v), _random(30)),
    "header": st.builds(
        lambda s, v: (f"Authorization: {s} {v}", v), st.sampled_from(["Basic", "Bearer", "token"]), _random(20)
    ),
    "url": st.builds(
        lambda s, v: (f"{s}://user:{v}@db.example.com:5432/x", v),
        st.sampled_from(["postgresql", "https", "amqp"]),
        _random(16),
    ),
}
SECRETS: list[tuple[str, st.SearchStrategy[tuple[str, str]]]] = [
    *((k, v.map(lambda s: (s, s))) for k, v in BARE.items()),
    *GIVEN.items(),
]
PROSE = st.sampled_from(
    [
        "",
        " ",
        "The answer is 42. ",
        "Set it as follows:\n",
        "(",
        '{"a": 1, "text": "',
        "日本語の文章です。",
        "line one\\nline two\\n",
        "\x1b[32m",
        "?x=1&",
        "the key idea: tokens are pieces, ",
    ]
)
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def _pieces(text: str, sizes: list[int]) -> Iterator[str]:
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        yield text[at : at + size]
        at, turn = at + size, turn + 1


def _streamed(stream: StreamRedactor, text: str, sizes: list[int]) -> str:
    return "".join([*map(stream.feed, _pieces(text, sizes)), stream.flush()])


@pytest.mark.slow
@each_of(("kind", "strategy"), SECRETS, ids=[kind for kind, _ in SECRETS])
def test_no_secret_is_shown_wherever_the_text_is_cut(kind: str, strategy: st.SearchStrategy[tuple[str, str]]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(
        before=PROSE, secret=strategy, after=st.sampled_from(["", " and more.", "\n", '", "b": 2}', "; rm"]), sizes=CUTS
    )
    def check(before: str, secret: tuple[str, str], after: str, sizes: list[int]) -> None:
        shown, hidden = secret
        text = before + shown + after
        redactor = Redactor()
        whole = redactor.redact(text)
        assert hidden not in whole
        assert "[REDACTED:" in whole
        assert redactor.hits >= 1
        assert whole.startswith(before)
        assert _streamed(Redactor().stream(), text, sizes) == whole
        assert redactor.redact(whole) == whole

    check()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    known=st.lists(st.text(min_size=4, max_size=30).filter(lambda t: t.strip() == t), min_size=1, max_size=4),
    parts=st.lists(st.one_of(st.integers(0, 3), st.text(max_size=12)), max_size=8),
    sizes=CUTS,
)
@example(known=["abcabd", "bcab"], parts=["abcab", 0], sizes=[1])
@example(known=["aaaa"], parts=["aaa", 0, "a"], sizes=[2])
def test_no_known_value_is_shown_wherever_the_text_is_cut(
    known: list[str], parts: list[int | str], sizes: list[int]
) -> None:
    text = "".join(known[part % len(known)] if isinstance(part, int) else part for part in parts)
    whole = Redactor(known).redact(text)
    streamed = _streamed(Redactor(known).stream(), text, sizes)
    assert streamed == whole
    pieces = whole.split("[REDACTED:credential]")
    assert not [value for value in known if any(value in piece for piece in pieces)]


@each_of(
    "form",
    [
        str,
        lambda v: json.dumps(v)[1:-1],
        lambda v: quote(v, safe=""),
        lambda v: base64.b64encode(v.encode()).decode().rstrip("="),
    ],
)
@each_of("value", ["correct horse battery", 'with "quotes" and \\', "ключ-от-всего"])
def test_a_known_value_is_found_in_its_other_forms(form: Any, value: str) -> None:
    text = f"before {form(value)} after"
    assert Redactor([value]).redact(text) == "before [REDACTED:credential] after"


def test_a_line_of_a_known_value_is_known() -> None:
    line = RSA_KEY.splitlines()[5]
    assert Redactor([RSA_KEY]).redact(f"cut: {line}!") == "cut: [REDACTED:credential]!"


WORDS = st.text(string.ascii_letters + "äöüß漢字🙂" + " .,;!?()\n'\"-", max_size=200)


@settings(max_examples=300, deadline=None)
@given(text=WORDS, sizes=CUTS)
def test_text_without_secrets_comes_through_whole(text: str, sizes: list[int]) -> None:
    redactor = Redactor(["the-value-nobody-writes"])
    assert _streamed(redactor.stream(), text, sizes) == text
    assert redactor.hits == 0


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(
                [
                    *(
                        "password",
                        "Authorization",
                        "bearer ",
                        "Bearer",
                        "token",
                        "key",
                        "://",
                        "user:",
                        "@",
                        "sk-",
                        "eyJ",
                        ".",
                        "-----BEGIN ",
                        "PRIVATE KEY",
                    ),
                    *(
                        "-----",
                        "-----END ",
                        "RSA ",
                        "AKIA",
                        "ghp_",
                        "=",
                        ": ",
                        ":",
                        " ",
                        "  ",
                        '"',
                        "'",
                        "`",
                        "\\",
                        '\\"',
                        "\n",
                        "\\n",
                        "&",
                        ";",
                        "=>",
                        "_",
                        "%3D",
                    ),
                    *("https", "0123456789abcdef", "A" * 30, "Zm9vYmFyMTIz" * 4, "x" * 300, "Basic ", "é"),
                ]
            ),
            st.text(WORD + ' =:"', max_size=10),
        ),
        max_size=25,
    ),
    sizes=CUTS,
)
def test_what_is_shown_does_not_depend_on_the_cuts(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    assert _streamed(Redactor().stream(), text, sizes) == Redactor().redact(text)


def test_prose_is_shown_at_the_end_of_each_word() -> None:
    stream, shown, behind = Redactor(["swordfish"]).stream(), "", 0
    text = (
        "Here is a plain sentence, with a password in it and a token too: nothing to hide, as everybody can see. " * 3
    )
    for number, letter in enumerate(text, 1):
        shown += stream.feed(letter)
        behind = max(behind, number - len(shown))
    assert behind <= len("everybody ") + len("password ")
    assert shown + stream.flush() == text


def test_text_of_a_script_without_spaces_is_shown_at_once() -> None:
    stream = Redactor().stream()
    assert [stream.feed(letter) for letter in "日本語の文章"] == list("日本語の文章")


@each_of("start", ["", "password: ", "-----BEGIN RSA ", "eyJ", "https://user:", "Authorization: Basic "])
@each_of("unit", ["Ab0Xy9", "ab.-_~", "éé"])
def test_what_is_held_back_is_bounded(start: str, unit: str) -> None:
    stream, shown = Redactor().stream(), 0
    shown += len(stream.feed(start))
    for _ in range(1000):
        shown += len(stream.feed(unit))
    assert len(stream.flush()) <= 2 * REACH + len("[REDACTED:authorization]")
    assert shown > 0


def test_a_secret_longer_than_what_is_held_back_is_swallowed_to_its_end() -> None:
    for text in (
        f"a {RSA_KEY.strip()} b",
        f"a sk-{'Ab0_' * 1000} b",
        f'a password="{"x y1 " * 500}" b',
        f"a eyJ{'a' * 40}.eyJ{'b' * 3000}.{'c' * 90} b",
    ):
        streamed = _streamed(Redactor().stream(), text, [7])
        assert streamed == Redactor().redact(text)
        assert len(streamed) < 60
        assert streamed.startswith("a ")
        assert streamed.endswith(" b")


@each_of(
    "text",
    [
        "def login(user: str, password: str) -> Token: ...",
        "password = getpass.getpass()",
        "connect(user=user, password=password)",
        "client = OpenAI(api_key=os.environ['OPENAI_API_KEY'])",
        "export API_KEY=<your key>",
        "PASSWORD=${DB_PASSWORD}",
        "the password: please choose one",
        "max_tokens=4096, key: value, monkey: banana",
        "primary_key=True, foreign_key='users.id'",
        "a task-force-of-the-people-of-somewhere-else",
        "https://example.com:8080/a/b?c=d#token",
        "git clone https://github.com/example/project.git",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "PWD=/output/a1\nOLDPWD=/home/agent\nHOME=/home/agent",
        "export PWD='/output/a1'; declare -x OLDPWD=\"/tmp\"",
        '{"pwd": "/output/a1", "cwd": "/output/a1"}',
        "POSTGRES_PASSWORD_FILE=/run/secrets/db_password",
        "PWD=~/work",
        "bearer authentication is described there",
        "token = tokenizer.encode(text)",
        '{"max_tokens": 100, "key": "name", "password": ""}',
    ],
)
def test_what_only_speaks_of_secrets_is_left_alone(text: str) -> None:
    assert Redactor().redact(text) == text


@each_of(
    "text",
    [
        "Uid=sa;Pwd=s3/hunter;",
        "MYSQL_PWD=/ab/cd",
        "DB_PWD=/s3cret",
        "PWD=hunter-2",
        "pwd: 'n0t/a/path'",
        "PASSWORD=/s3/cr/et",
        "PWD=/a8Xk29sLq0ZpW3vN",
        "PASSWORD_FILE=hunter2",
    ],
)
def test_a_password_that_is_like_a_place_is_one(text: str) -> None:
    assert "[REDACTED:password]" in Redactor().redact(text)


def test_a_place_under_a_telling_name_is_none() -> None:
    given = {"PWD": "/output/a1", "OLDPWD": "/", "TOKEN_PATH": "/run/token", "DB_PWD": "/s3cr3t", "PASSWORD": "/x/y/z"}
    assert Redactor().redact_json(given) == given | dict.fromkeys(("DB_PWD", "PASSWORD"), "[REDACTED:password]")


def test_nested_metadata() -> None:
    redactor = Redactor(["open-sesame"])
    given = {
        "command": "curl -H 'Authorization: Bearer abcdef0123456789abcdef' https://u:pw0rd@x.example",
        "env": [{"PASSWORD": "hunter"}, {"API_KEY": "a1B2c3D4e5F6g7H8i9J0"}, {"open-sesame": 1}],
        "authorization": "Basic dXNlcjpwYXNz",
        "token_count": 7,
        "next": None,
        "ok": True,
        "deep": {"er": ("x", "open-sesame")},
    }
    assert redactor.redact_json(given) == {
        "command": "curl -H 'Authorization: Bearer [REDACTED:authorization]' https://u:[REDACTED:password]@x.example",
        "env": [{"PASSWORD": "[REDACTED:password]"}, {"API_KEY": "[REDACTED:secret]"}, {"[REDACTED:credential]": 1}],
        "authorization": "[REDACTED:authorization]",
        "token_count": 7,
        "next": None,
        "ok": True,
        "deep": {"er": ["x", "[REDACTED:credential]"]},
    }
    assert redactor.hits == 7


def test_metadata_nested_beyond_reason_is_not_followed() -> None:
    value: Any = "open-sesame"
    for _ in range(5000):
        value = [value]
    left: Any = Redactor(["open-sesame"]).redact_json(value)
    levels = 0
    while isinstance(left, list):
        (left,), levels = left, levels + 1
    assert (left, levels) == ("[REDACTED:nesting]", DEEPEST)


def test_the_longest_known_value_is_taken() -> None:
    assert Redactor(["abcd", "abcdef"]).redact("abcdef abcde") == "[REDACTED:credential] [REDACTED:credential]e"


@pytest.mark.parametrize("name", ["key: ", "the token: ", "secret = ", "API_TOKEN=<x>;key="])
def test_a_secret_inside_a_value_that_is_none_is_found(name: str) -> None:
    assert Redactor().redact(f"{name}postgres://me:hunter2@db/x") == f"{name}postgres://me:[REDACTED:password]@db/x"


@pytest.mark.slow
@each_of(
    "unit",
    [
        *(
            "key=",
            "-eyJ",
            "sk-",
            'password="',
            "a_",
            "ab://x:",
            "-",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN AAAA ",
            "\\",
            "key ",
            "SG.aaaaaaaaaaaaaaaaaa-",
        ),
        *(
            "authorization: bearer ",
            "0123456789abcdef",
            "1234567890:",
            'key: \\"',
            "-----EN",
            "\x1b[0m",
            "%3D",
            "eyJaaaaaaaaaaaaaaaa.",
            "https://",
            "🙂",
            "\n",
        ),
    ],
)
def test_hostile_text_takes_no_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    began = time.process_time()
    whole = Redactor(["a-known-value", unit * 3 + "!"]).redact(text)
    assert time.process_time() - began < 4
    part = text[:20_000]
    began = time.process_time()
    _streamed(Redactor().stream(), part, [3])
    assert time.process_time() - began < 4
    assert len(whole) <= len(text) * 6
