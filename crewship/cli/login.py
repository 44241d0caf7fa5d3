"""`crewship login`: a code from the account page for a token that the commands find."""

import asyncio
import json
import os
import sys
from dataclasses import replace

from crewship.cli import profiles
from crewship.cli.client import Client
from crewship.cli.profiles import ClientError, Profile

REDEEM = 'mutation ($code: String!) { redeemPairing(input: {code: $code, adapterHint: "CLI"}) { cliToken email } }'


def log_in(server: str | None, workspace: str | None, wanted: str | None, as_json: bool) -> int:
    """Asks for the code, and writes the profile. Raises ClientError."""
    name = wanted or profiles.named_around() or profiles.in_use()
    asked = _asked(name, server, workspace, named=wanted is not None)
    print(f"Open {asked.server.rstrip('/')}/account#pairing and create a code.", file=sys.stderr)
    code = _typed().strip()
    if not code:
        raise ClientError("no code was given")
    token, email = asyncio.run(_redeemed(asked, code))
    place = profiles.place_of(name)
    profiles.write(place, replace(asked, token=token))
    if "/" not in name and profiles.in_use() not in profiles.names():
        profiles.use(name)
    print(
        f"You are {email} at {asked.server}. The token is stored in {place}, which only you can read.", file=sys.stderr
    )
    if "/" not in name and name != profiles.in_use():
        print(f"`crewship profiles use {name}` switches to this profile.", file=sys.stderr)
    if as_json:
        told = {"profile": name, "server": asked.server, "workspace": asked.workspace, "email": email}
        print(json.dumps(told, ensure_ascii=False))
    return 0


def _asked(name: str, server: str | None, workspace: str | None, *, named: bool) -> Profile:
    """The new content of the profile of that name. A profile of another server is replaced only if it is named."""
    place = profiles.place_of(name)
    kept = profiles.read(place) if place.is_file() else None
    around = os.environ.get(profiles.VARIABLES["server"]) or None
    known = kept.server if kept else None
    chosen = server or (known if named else None) or around or known or profiles.DEFAULT_SERVER
    profile = Profile(profiles.checked(chosen), None, workspace)
    if kept is None or kept.server.rstrip("/") == chosen.rstrip("/"):
        return replace(profile, workspace=workspace or (kept.workspace if kept else None))
    if named:
        return profile
    raise ClientError(
        f"the profile {name!r} is of {kept.server}; give this one a name:"
        f" `crewship login --server {chosen} --profile NAME`"
    )


async def _redeemed(asked: Profile, code: str) -> tuple[str, str]:
    client = Client(asked)
    try:
        redeemed = (await client.graphql(REDEEM, code=code))["redeemPairing"]
    finally:
        await client.close()
    return str(redeemed["cliToken"]), str(redeemed["email"])


def _typed() -> str:
    try:
        return input("Code: ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        return ""
