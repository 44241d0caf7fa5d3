"""`crewship login`: a code from the account page for a token that the commands find."""

import asyncio
import sys
from pathlib import Path

from crewship.client import Client, ClientError, Profile, default_profile, find_profile, write_profile

REDEEM = 'mutation ($code: String!) { redeemPairing(input: {code: $code, adapterHint: "CLI"}) { cliToken email } }'


async def log_in(server: str | None, file: Path | None) -> int:
    """Asks for the code, and writes the profile."""
    asked = Profile(find_profile({"server": server, "token": None, "workspace": None}, file).server)
    print(f"Open {asked.server.rstrip('/')}/account#pairing, and make a code.", file=sys.stderr)
    code = (await asyncio.to_thread(_typed)).strip()
    if not code:
        raise ClientError("no code was given")
    client = Client(asked)
    try:
        redeemed = (await client.graphql(REDEEM, code=code))["redeemPairing"]
    finally:
        await client.close()
    place = file or default_profile()
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_profile(place, Profile(asked.server, redeemed["cliToken"]))
    except OSError as error:
        raise ClientError(f"the profile {place} cannot be written ({error.strerror})") from None
    print(
        f"You are {redeemed['email']} at {asked.server}. {place} keeps the token; only you can read it.",
        file=sys.stderr,
    )
    return 0


def _typed() -> str:
    try:
        return input("Code: ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        return ""
