"""A browser as far as cookies go, by hand: each attribute set can be looked at, and each value sent chosen."""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx2

from models.people.auth import User
from resolvers.instance.running import instance
from tests.world import World

PASSWORD = "correct horse battery"
ACCESS, REFRESH, CSRF, DEVICE = "authjs.session-token", "authjs.refresh-token", "authjs.csrf-token", "crewship.device"
SECURE_ACCESS, SECURE_REFRESH, SECURE_CSRF = f"__Secure-{ACCESS}", f"__Secure-{REFRESH}", f"__Host-{CSRF}"
CLEARED = {
    f"{name}=; Path={path}; Max-Age=0; HttpOnly; SameSite=Lax{'; Secure' if name.startswith('__') else ''}"
    for name, path in ((ACCESS, "/"), (REFRESH, "/api/auth/"), (SECURE_ACCESS, "/"), (SECURE_REFRESH, "/api/auth/"))
}


def set_cookies(answer: httpx2.Response) -> list[str]:
    return answer.headers.get_list("set-cookie")


@dataclass
class Browser:
    url: str
    https: bool = False
    cookies: dict[str, str] = field(default_factory=dict)

    async def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **content: Any
    ) -> httpx2.Response:
        """`content`: json=, data= (a form) or content=. Cookies that are set or cleared are kept or dropped."""
        sent = dict(headers or {})
        if self.cookies:
            sent.setdefault("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if self.https:
            sent["x-forwarded-proto"] = "https"
        async with httpx2.AsyncClient(base_url=self.url, timeout=30, verify=False) as client:
            answer = await client.request(method, path, headers=sent, **content)
        for text in set_cookies(answer):
            name, value = re.match(r"([^=]+)=([^;]*)", text).groups()  # type: ignore[union-attr]
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer

    async def csrf(self) -> str:
        token: str = (await self.send("GET", "/api/auth/csrf")).json()["csrfToken"]
        return token

    async def log_in(self, email: str, password: str = PASSWORD) -> httpx2.Response:
        """As the web UI does it."""
        body = {"email": email, "password": password, "csrfToken": await self.csrf(), "redirect": "false"}
        return await self.send("POST", "/api/auth/callback/credentials", json=body)

    @property
    def access(self) -> str:
        return self.cookies[SECURE_ACCESS if self.https else ACCESS]

    @property
    def refresh(self) -> str:
        return self.cookies[SECURE_REFRESH if self.https else REFRESH]


async def new_user(world: World, password: str = PASSWORD, **values: Any) -> User:
    """A user who can log in."""
    name = secrets.token_hex(6)
    made = {
        "email": f"{name}@example.com",
        "full_name": name.title(),
        "password_hash": await instance.passwords.hash(password),
    } | values
    user = User(**made)
    await world.add(user)
    return user


async def signed_in(world: World, https: bool = False) -> tuple[Browser, User]:
    browser, user = Browser(world.url, https), await new_user(world)
    answer = await browser.log_in(user.email)
    assert answer.json()["ok"] is True
    return browser, user
