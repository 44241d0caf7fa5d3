"""What the pages of passkeys do, by GraphQL alone."""

from typing import Any

from tests.people.auth.browsers import Browser, signed_in
from tests.people.passkeys.authenticator import Authenticator
from tests.world import World

START = "mutation { startPasskeyRegistration { options } }"
REGISTER = "mutation($in: RegisterPasskeyInput!) { registerPasskey(input: $in) { id name backedUp lastUsedAt } }"
REQUIRE = "mutation($in: RequirePasskeyInput!) { requirePasskey(input: $in) { required passkeys } }"
START_SIGN_IN = "mutation($in: StartPasskeySignInInput!) { startPasskeySignIn(input: $in) { options } }"
SIGN_IN = "mutation($in: PasskeySignInInput!) { signInWithPasskey(input: $in) { userId email } }"
NOT_ACCEPTED = ("FORBIDDEN", "The passkey was not accepted")


async def ask(browser: Browser, query: str, **given: Any) -> dict[str, Any]:
    body = {"query": query, "variables": {"in": given} if given else {}}
    return (await browser.send("POST", "/graphql", json=body)).json()  # type: ignore[no-any-return]


async def data(browser: Browser, query: str, **given: Any) -> Any:
    answer = await ask(browser, query, **given)
    assert "errors" not in answer, answer
    return next(iter(answer["data"].values()))


async def refusal(browser: Browser, query: str, **given: Any) -> tuple[str, str]:
    error = (await ask(browser, query, **given))["errors"][0]
    return error["extensions"]["code"], error["message"]


async def options(browser: Browser) -> dict[str, Any]:
    return (await data(browser, START))["options"]  # type: ignore[no-any-return]


async def registered(world: World) -> tuple[Browser, Any, Authenticator]:
    """Somebody who is signed in and has a passkey."""
    browser, user = await signed_in(world)
    authenticator = Authenticator()
    await data(browser, REGISTER, name="laptop", credential=authenticator.create(await options(browser)))
    return browser, user, authenticator


async def sign_in_options(browser: Browser) -> tuple[str, dict[str, Any]]:
    csrf = next((value for name, value in browser.cookies.items() if "csrf" in name), None) or await browser.csrf()
    return csrf, (await data(browser, START_SIGN_IN, csrfToken=csrf))["options"]


async def sign_in(browser: Browser, authenticator: Authenticator, **lies: Any) -> dict[str, Any]:
    csrf, asked = await sign_in_options(browser)
    return await ask(browser, SIGN_IN, csrfToken=csrf, credential=authenticator.get(asked, **lies))
