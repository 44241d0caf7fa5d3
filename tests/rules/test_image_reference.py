"""Image references by the distribution grammar."""

import time

from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.image_reference import ImageReference, parse_image_reference
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, value_or_refusal

SHA256 = "sha256:" + "0123456789abcdef" * 4


@each_of(
    ("text", "expected"),
    [
        ("ubuntu", ImageReference(None, "ubuntu", None, None)),
        ("ubuntu:24.04", ImageReference(None, "ubuntu", "24.04", None)),
        ("library/ubuntu", ImageReference(None, "library/ubuntu", None, None)),
        ("ghcr.io/org/team/image:v1", ImageReference("ghcr.io", "org/team/image", "v1", None)),
        ("localhost/image", ImageReference("localhost", "image", None, None)),
        ("localhost:5000/image", ImageReference("localhost:5000", "image", None, None)),
        ("test:5000/repo:tag", ImageReference("test:5000", "repo", "tag", None)),
        ("Registry/repo", ImageReference("Registry", "repo", None, None)),
        ("10.0.0.1:5000/a/b", ImageReference("10.0.0.1:5000", "a/b", None, None)),
        ("[2001:db8::1]:5000/repo", ImageReference("[2001:db8::1]:5000", "repo", None, None)),
        ("xn--n3h.com/myimage", ImageReference("xn--n3h.com", "myimage", None, None)),
        ("foo_bar.com/baz", ImageReference(None, "foo_bar.com/baz", None, None)),
        ("a__b--c.d/e", ImageReference(None, "a__b--c.d/e", None, None)),
        ("foo/foo_bar.com:8080", ImageReference(None, "foo/foo_bar.com", "8080", None)),
        (f"repo@{SHA256}", ImageReference(None, "repo", None, SHA256)),
        (f"test:5000/repo:tag@{SHA256}", ImageReference("test:5000", "repo", "tag", SHA256)),
        ("repo@sha512:" + "a" * 128, ImageReference(None, "repo", None, "sha512:" + "a" * 128)),
        ("a" * 255, ImageReference(None, "a" * 255, None, None)),
        ("repo:" + "t" * 128, ImageReference(None, "repo", "t" * 128, None)),
        ("a" * 63, ImageReference(None, "a" * 63, None, None)),
    ],
)
def test_accepted(text: str, expected: ImageReference) -> None:
    assert parse_image_reference(text) == expected


@each_of(
    "text",
    [
        "",
        " ubuntu",
        "ubuntu ",
        "ubuntu\n",
        "Ubuntu",
        "org/Image",
        ":tag",
        "ubuntu:",
        "ubuntu:-tag",
        "ubuntu:" + "t" * 129,
        "a..b/c",
        "a___b",
        "-foo/bar",
        "foo-/bar",
        "foo/-bar",
        "foo//bar",
        "/foo",
        "foo/",
        "foo.com:http/bar",
        "https://ghcr.io/org/image",
        "[fe80::1%eth0]:5000/repo",
        "[2001:db8::1",
        f"@{SHA256}",
        "repo@sha256:" + "0" * 63,
        "repo@sha256:" + "0" * 65,
        "repo@sha256:" + "A" * 64,
        "repo@md5:" + "0" * 32,
        "repo@" + SHA256 + ":tag",
        "0123456789abcdef" * 4,
        "a" * 256,
        "ubuntu\x00",
        "ubunt\u00fc",
        "\u0661:1",
    ],
)
def test_refused(text: str) -> None:
    with refused("runtime_image"):
        parse_image_reference(text)


def test_the_field_is_named() -> None:
    with refused("base_image"):
        parse_image_reference("A", "base_image")


@given(anything | st.text("aA0.-_/:@[]", max_size=40))
def test_total(text: str) -> None:
    reference = value_or_refusal(parse_image_reference, text)
    if reference is not None:
        rebuilt = "/".join(filter(None, (reference.domain, reference.path)))
        rebuilt += f":{reference.tag}" if reference.tag else ""
        rebuilt += f"@{reference.digest}" if reference.digest else ""
        assert rebuilt == text


@each_of(
    "text",
    ["a-" * 500 + "!", "a." * 500 + "!", "a/" * 500 + "!", "a" * 1020 + "!", "a--" * 340 + "_", "0" * 900 + "A" * 100],
)
def test_hostile_texts_cost_little(text: str) -> None:
    start = time.process_time()
    with refused("runtime_image"):
        parse_image_reference(text)
    assert time.process_time() - start < 0.5
