"""A SKILL.md of another server, by its address (contract: skills, skill_md.url_rules)."""

import asyncio
import re
from typing import Final
from urllib.parse import urljoin, urlsplit

from resolvers.instance.outbound import Answered, Outbound
from resolvers.kernel import Code, Refusal

SECONDS: Final = 30
MOST_REDIRECTS: Final = 10
MOVED: Final = frozenset({301, 302, 303, 307, 308})
BLOB: Final = re.compile(r"https://github\.com/([^/]+)/([^/]+)/blob/(.+)", re.IGNORECASE)
SHORT: Final = re.compile(r"([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)/([^:?#]+)")
RAW: Final = "https://raw.githubusercontent.com"
ONLY_HTTPS: Final = "url: must be an https:// address of another host"


def address_of(text: str) -> str:
    """The raw address of a file in a repository, from the address of its page or of the file itself."""
    text = text.strip()
    if (blob := BLOB.fullmatch(text)) is not None:
        return f"{RAW}/{blob[1]}/{blob[2]}/{blob[3].partition('?')[0].partition('#')[0]}"
    if "://" not in text and (short := SHORT.fullmatch(text)) is not None:
        return f"{RAW}/{short[1]}/{short[2]}/main/{short[3]}"
    return text


def check(url: str) -> None:
    """BAD_REQUEST for what is not asked for at all. Which addresses a name may have is judged when it is connected."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        raise Refusal(Code.BAD_REQUEST, ONLY_HTTPS) from None
    local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if parts.scheme.lower() != "https" or not host or local or "@" in parts.netloc:
        raise Refusal(Code.BAD_REQUEST, ONLY_HTTPS)


async def get(http: Outbound, url: str, redirects: int = MOST_REDIRECTS) -> tuple[str, Answered]:
    """Fetches an address, following redirects; each step is checked like the first. Returns the final address and the
    answer.
    """
    for _ in range(redirects + 1):
        check(url)
        answer = await http.get(url)
        if answer.status not in MOVED or "location" not in answer.headers:
            return url, answer
        url = urljoin(url, answer.headers["location"])
    raise Refusal(Code.BAD_GATEWAY, "Too many redirects")


async def fetched(http: Outbound, url: str) -> str:
    """The text of a URL; BAD_REQUEST, with a short reason, if there is none."""
    try:
        async with asyncio.timeout(SECONDS):
            _, answer = await get(http, url)
    except TimeoutError:
        raise Refusal(Code.BAD_REQUEST, "url: the server did not answer in time") from None
    except Refusal as refusal:
        raise Refusal(Code.BAD_REQUEST, refusal.detail) from None
    if answer.status != 200:
        raise Refusal(Code.BAD_REQUEST, f"url: the server answered with status {answer.status}")
    try:
        return answer.body.decode()
    except UnicodeDecodeError:
        raise Refusal(Code.BAD_REQUEST, "url: the content is not UTF-8 text") from None
