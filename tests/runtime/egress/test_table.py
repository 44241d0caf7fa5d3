"""What the processes of a crew reach, in each network mode: the table of docs/commands.md, tried in a sandbox."""

import json
import socket
import threading
from pathlib import Path

import pytest

from models.staff.crews import NetworkMode
from runtime.egress import Endpoint, Policy
from runtime.sandbox import Sandbox, Workdir
from runtime.sandbox.namespace import Bubblewrap
from tests.kernel.servers import answering, response
from tests.runtime.egress.outside import ANOTHER, LISTED, NO_TLS, OTHER, POLICY, PUBLIC, Outside

pytestmark = pytest.mark.anyio
MODELS = "models.example.com"
ATTEMPTS = Path(__file__).with_name("attempts.py").read_text()
YES, NO, NOWHERE = "reached", "refused", "no way"
# What the table says, for which attempts: restricted, free
TABLE = {
    "a host of the list, over HTTPS (port 443) or HTTP (port 80)": (
        ("listed https", "listed http", "listed http in a tunnel", "listed other case"), YES, YES,
    ),
    "any other host; one below a listed one; one that a wildcard like `*.example.org` seems to mean": (
        ("other https", "other http", "below listed", "wildcard"), NO, YES,
    ),
    "an address in place of a name": (("address", "address v6"), NO, YES),
    "another port of a listed host": (("other port", "neighbour of a model"), NO, YES),
    "a tunnel in which TLS names another host than the tunnel (SNI), or none": (
        ("server name differs", "no server name"), NO, YES,
    ),
    "a tunnel to port 443 that carries something else than TLS": (("no tls",), NO, YES),
    "a request whose `Host` is another host than its URL": (("host header differs",), NO, NO),
    "the same in a tunnel to port 80": (("host header differs in a tunnel",), NO, YES),
    "a redirect to another host: it is passed on, and the program's next request is judged": (
        ("redirect to other",), NO, YES,
    ),
    "a name, listed or not, with any address that is not public": (("name of loopback", "name of metadata"), NO, NO),
    "this machine, private networks, the metadata service, in any spelling": (
        (
            "loopback by proxy", "localhost by proxy", "short loopback by proxy", "loopback v6 by proxy",
            "private by proxy", "metadata by proxy", "metadata v6 by proxy", "mapped metadata by proxy",
        ), NO, NO,
    ),
    "a model server that the operator has declared, by any name, listed or not": (
        ("model by proxy", "model listed", "model of another port", "model by another name", "model by its address"),
        NO, NO,
    ),
    "`127.0.0.1` without the proxy: the sandbox's own, where the service does not listen": (
        ("own loopback", "model", "abstract socket"), NOWHERE, NOWHERE,
    ),
    "any address without the proxy, IPv4 or IPv6, the metadata service too": (
        ("direct v4", "direct v6", "direct metadata"), NOWHERE, NOWHERE,
    ),
    "DNS: there is no resolver, and no way to one. The proxy looks up names, once they are allowed": (
        ("resolver", "dns of udp"), NOWHERE, NOWHERE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", NetworkMode)
async def test_what_is_reached_from_a_sandbox(
    mode: NetworkMode, outside: Outside, sandbox: Bubblewrap, workdir: Workdir, python: str
) -> None:
    await reaches(mode, outside, sandbox, workdir, python)


async def reaches(mode: NetworkMode, outside: Outside, sandbox: Sandbox, workdir: Workdir, python: str) -> None:
    """What the table says, and nothing else."""
    async with answering(response(b"the service")) as service, answering(response(b"a model")) as model:
        closed = {Endpoint("127.0.0.1", model.port), Endpoint(MODELS, 80), Endpoint(MODELS, 11434)}
        policy = Policy(mode, POLICY.domains | {MODELS}, closed=frozenset(closed))
        outside.names |= {"localhost": ["127.0.0.1"], MODELS: [ANOTHER]}
        with _abstract(service.port):
            argv = [python, "-c", ATTEMPTS, LISTED, OTHER, str(service.port), str(model.port)]
            ended = await sandbox.run(argv, workdir=workdir, timeout=60, network=outside.gateway(policy))
        assert ended.exit_code == 0, ended
        column = 1 if mode is NetworkMode.restricted else 2
        assert json.loads(ended.stdout) == {attempt: row[column] for row in TABLE.values() for attempt in row[0]}
        assert (service.connections, model.connections) == (0, 0)
    called = {address for address, _ in outside.dialled}
    assert not {port for _, port in outside.dialled} & {11434, model.port}
    assert called <= {PUBLIC, ANOTHER, NO_TLS, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"}


class _abstract:
    """A socket of this machine that has no path, and so no place in which it could be hidden."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(f"\0crewship-test-{number}")

    def __enter__(self) -> None:
        self._socket.listen()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        try:
            while True:
                opened, _ = self._socket.accept()
                opened.sendall(b"here")
                opened.close()
        except OSError:
            return

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs/commands.md").read_text()
    for row, (_, restricted, free) in TABLE.items():
        assert f"| {row} | {restricted} | {free} |" in text
