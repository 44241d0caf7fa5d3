"""Names of container images by the reference grammar of docker/distribution (the OCI spec's name, tag and digest).

Syntax only: whether a registry knows the image is not asked.
"""

import re
from dataclasses import dataclass

from resolvers.kernel import invalid

MAX_NAME = 255
_MAX_TEXT = 1024

_DOMAIN_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_IPV6 = r"\[[a-fA-F0-9:]+\]"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|{_IPV6})(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_PATH_PART}(?:/{_PATH_PART})*))"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<algorithm>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*):(?P<hex>[0-9a-fA-F]{32,}))?"
)
_HEX64 = re.compile(r"[a-f0-9]{64}")
_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The parts as written: no default registry, `library/` or `latest` is filled in."""

    domain: str | None
    path: str
    tag: str | None
    digest: str | None


def parse_image_reference(text: str, field: str = "runtime_image") -> ImageReference:
    parts = _REFERENCE.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if parts is None:
        raise invalid(field, "is not an image reference such as registry.example.com/team/image:tag")
    if len(parts["name"]) > MAX_NAME:
        raise invalid(field, f"the image's name must be at most {MAX_NAME} characters")
    if _HEX64.fullmatch(parts["name"]):
        raise invalid(field, "64 hex digits are an image's id, not its name")
    domain, path = parts["domain"], parts["path"]
    # A first part without dot, colon or capital, but localhost, is no host (docker's rule): library/image, no registry.
    if domain and domain == domain.lower() and not set(".:") & set(domain) and domain != "localhost":
        domain, path = None, parts["name"]
    digest = None
    if algorithm := parts["algorithm"]:
        if len(parts["hex"]) != _HEX_DIGITS.get(algorithm) or parts["hex"] != parts["hex"].lower():
            raise invalid(field, "the digest must be sha256, sha384 or sha512 with lower-case hex digits of its length")
        digest = f"{algorithm}:{parts['hex']}"
    return ImageReference(domain, path, parts["tag"], digest)
