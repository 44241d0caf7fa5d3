"""What a passphrase seals: the cost of opening it is fixed when it is made, and limited when it is read."""

import subprocess
import sys
from typing import Any

import pyrage
import pytest

from resolvers.instance.bundles import passphrases, sealing
from resolvers.instance.bundles.faults import BundleError, BundleFault

pytestmark = pytest.mark.anyio
WORD = "correct horse battery"
QUICK = 10
BAR = 330 << 10  # KiB: 256 MiB for scrypt, and an interpreter
MEASURED = f"""
import asyncio, resource
from resolvers.instance.bundles import passphrases

async def both() -> None:
    assert await passphrases.opened(await passphrases.sealed(b"the key", {WORD!r}), {WORD!r}) == b"the key"

asyncio.run(both())
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrases, "COST", QUICK)


async def test_a_passphrase_opens_what_it_sealed_and_no_other_does(quick: None) -> None:
    made = await passphrases.sealed(b"the key", WORD)
    assert b"the key" not in made
    assert await passphrases.opened(made, WORD) == b"the key"
    for changed in (made[:-1] + bytes([made[-1] ^ 1]), made.replace(b" 10\n", b" 11\n"), made + b"\0"):
        with pytest.raises(BundleError) as refused:
            await passphrases.opened(changed, WORD)
        assert refused.value.fault is BundleFault.decryption
    with pytest.raises(BundleError, match="does not open"):
        await passphrases.opened(made, WORD + " ")
    assert made != await passphrases.sealed(b"the key", WORD)


async def test_age_opens_it(quick: None) -> None:
    made = await passphrases.sealed(b"the key", WORD)
    assert pyrage.passphrase.decrypt(made, WORD) == b"the key"


async def test_the_cost_of_a_bundle_is_fixed_and_stands_in_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    async def derived(passphrase: str, salt: bytes, cost: int) -> bytes:
        asked.append(cost)
        return bytes(32)

    monkeypatch.setattr(passphrases, "_scrypt", derived)
    seal = await sealing.with_passphrase(WORD)
    assert seal.key is not None
    assert seal.key.split(b"\n")[1].endswith(b" 18")
    assert (await sealing.identity_of(seal.key, WORD)).startswith("AGE-SECRET-KEY-1")
    assert asked == [18, 18]


@pytest.mark.parametrize("cost", [21, 22, 30, 63, 64, 255, 999])
async def test_an_enormous_cost_is_refused_before_it_is_computed(
    quick: None, monkeypatch: pytest.MonkeyPatch, cost: int
) -> None:
    made = await passphrases.sealed(b"the key", WORD)
    monkeypatch.setattr(passphrases, "_scrypt", _never)
    with pytest.raises(BundleError, match="MiB of memory") as refused:
        await sealing.identity_of(made.replace(b" 10\n", b" %d\n" % cost, 1), WORD)
    assert refused.value.fault is BundleFault.decryption


@pytest.mark.parametrize("line", [b" 0\n", b" 018\n", b" 1000\n", b" -1\n", b"\n", b" 10 10\n"])
async def test_a_key_of_another_form_is_refused(quick: None, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    made = await passphrases.sealed(b"the key", WORD)
    monkeypatch.setattr(passphrases, "_scrypt", _never)
    with pytest.raises(BundleError, match="as Crewship seals it"):
        await passphrases.opened(made.replace(b" 10\n", line, 1), WORD)


async def _never(*_: Any) -> bytes:
    raise AssertionError("a key was derived")


@pytest.mark.slow
async def test_a_key_that_a_library_of_age_made_is_opened() -> None:
    """Bundles of earlier releases have such keys, of a cost that the library chose."""
    made = pyrage.passphrase.encrypt(b"the key", WORD)
    assert await passphrases.opened(made, WORD) == b"the key"


@pytest.mark.slow
def test_the_memory_of_sealing_and_opening_is_bounded() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], check=True, capture_output=True, text=True)
    assert (256 << 10) < int(done.stdout) < BAR
