"""Passkeys in a real browser, with the virtual authenticator of its DevTools: registered, used, and copied."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from resolvers.instance.running import instance
from tests.people.auth.browsers import PASSWORD, new_user
from tests.people.passkeys.pages import NOT_ACCEPTED, REGISTER, REQUIRE, SIGN_IN, START, START_SIGN_IN
from tests.process.browser import CHROMIUM, Page, browsing
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

PAGE = """
(async () => {
  const ask = async (query, given) => {
    const body = JSON.stringify({query, variables: given ? {in: given} : {}});
    const headers = {"content-type": "application/json"};
    const answer = await (await fetch("/graphql", {method: "POST", headers, body})).json();
    if (answer.errors) throw new Error(answer.errors[0].message);
    return Object.values(answer.data)[0];
  };
  const csrf = async () => (await (await fetch("/api/auth/csrf")).json()).csrfToken;
  let lastToken = "";
  const logIn = async (email, password) => {
    const body = JSON.stringify({email, password, csrfToken: lastToken = await csrf(), redirect: "false"});
    const headers = {"content-type": "application/json"};
    return (await fetch("/api/auth/callback/credentials", {method: "POST", headers, body})).json();
  };
  const signIn = async (csrfToken) => {
    const {options} = await ask(START_SIGN_IN, {csrfToken});
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const credential = (await navigator.credentials.get({publicKey})).toJSON();
    return ask(SIGN_IN, {csrfToken, credential});
  };
  const register = async () => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON((await ask(START)).options);
    const credential = (await navigator.credentials.create({publicKey})).toJSON();
    return ask(REGISTER, {name: "virtual", credential});
  };
  try { return await (async () => { BODY })(); } catch (error) { return error.message; }
})()
"""
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
SIGN_OUT = 'await fetch("/api/auth/signout", {method: "POST"});'


async def run(page: Page, body: str) -> Any:
    texts = {"START_SIGN_IN": START_SIGN_IN, "SIGN_IN": SIGN_IN, "START": START}
    texts |= {"REGISTER": REGISTER, "REQUIRE": REQUIRE}
    named = "".join(f"const {name} = {json.dumps(text)};" for name, text in texts.items())
    return await page.value(PAGE.replace("(async () => {", "(async () => {" + named, 1).replace("BODY", body))


async def test_a_browser_registers_a_passkey_and_signs_in_with_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://localhost:{urlsplit(world.url).port}"
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"public_url": url}))
    user = await new_user(world)
    log_in = f"await logIn({json.dumps(user.email)}, {json.dumps(PASSWORD)})"
    async with browsing(tmp_path / "profile") as page:
        await page.command("WebAuthn.enable")
        added = await page.command("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
        await page.open(f"{url}/login")
        await page.until("document.readyState === 'complete' && location.hostname === 'localhost'")
        assert (await run(page, f"return {log_in};"))["ok"] is True
        assert (await run(page, "return register();"))["name"] == "virtual"
        assert "already" in await run(page, "return register();"), "the authenticator knows that it has one"

        signed_in = await run(page, f"{SIGN_OUT} return signIn(await csrf());")
        assert signed_in == {"userId": user.id, "email": user.email}

        assert (await run(page, "return ask(REQUIRE, {required: true});"))["required"] is True
        half = await run(page, f"{SIGN_OUT} return {log_in};")
        assert (half["ok"], half["passkey_required"]) == (False, True)
        whole = f"await {log_in[6:]}; return (await signIn(lastToken)).userId;"
        assert await run(page, whole) == user.id

        known = await page.command("WebAuthn.getCredentials", authenticatorId=added["authenticatorId"])
        (copy,) = known["credentials"]
        await page.command("WebAuthn.clearCredentials", authenticatorId=added["authenticatorId"])
        old = copy | {"signCount": 0}
        await page.command("WebAuthn.addCredential", authenticatorId=added["authenticatorId"], credential=old)
        assert await run(page, f"{SIGN_OUT} return signIn(await csrf());") == NOT_ACCEPTED[1]
        assert not await run(page, 'return (await (await fetch("/api/auth/session")).json()).user;')
