"""Programs in a terminal of their own, and a wire to a server that can be cut."""

import asyncio
import codecs
import contextlib
import fcntl
import os
import pty
import re
import signal
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE = 30.0  # seconds until something must be on the screen
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x01|\x02")


class Terminal:
    """What a program in a terminal has written so far, and its keyboard."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process, self._master = process, master
        self.raw, self._decoder = "", codecs.getincrementaldecoder("utf-8")(errors="replace")
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # nobody has the terminal open any more
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._master)
        self.raw += self._decoder.decode(piece)

    @property
    def text(self) -> str:
        """Without colours and movements of the cursor."""
        return STEERING.sub("", self.raw).replace("\r\n", "\n")

    @property
    def modes(self) -> list[Any]:
        """How it treats what is typed and shown."""
        return termios.tcgetattr(self._master)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str | bytes) -> None:
        os.write(self._master, keys if isinstance(keys, bytes) else keys.encode())

    async def see(self, text: str, times: int = 1) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while self.text.count(text) < times:
            assert asyncio.get_running_loop().time() < deadline, f"{text!r} x{times} is not in {self.text!r}"
            await asyncio.sleep(0.02)

    async def end(self, *, again: str = "") -> int:
        """`again`: keys typed once a second until then, as by a person whose key came before the program listened."""
        waiting = asyncio.ensure_future(self.process.wait())
        for _ in range(int(PATIENCE)):
            if (await asyncio.wait({waiting}, timeout=1))[0]:
                break
            self.type(again)
        return await asyncio.wait_for(waiting, 1)


def _take_terminal() -> None:
    """So that Ctrl-C is a signal that is heard: shells start what runs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.asynccontextmanager
async def terminal(*command: str, env: Mapping[str, str], columns: int = 80) -> AsyncIterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = {"start_new_session": True, "preexec_fn": _take_terminal}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=slave, stdout=slave, stderr=slave, env=dict(env), cwd="/", **own
    )
    os.close(slave)
    made = Terminal(process, master)
    try:
        yield made
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE)
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)


class Wire:
    """Passes on what goes to a server and back, until it is cut. `refusing`: new connections end at once; `silent`:
    nothing is passed on any more.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusing = self.silent = False
        self.connections = 0

    @contextlib.asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """`tls`: it speaks TLS to who comes, as a proxy does."""
        server = await asyncio.start_server(self._join, "127.0.0.1", 0, ssl=tls)
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        ends = {writer, far_writer}
        self._ends |= ends
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(65536):
                if self.silent:
                    continue
                target.write(piece)
                await target.drain()
        target.close()
        self._ends.discard(target)


def certificate(file: Path) -> ssl.SSLContext:
    """Of a server at 127.0.0.1, that nobody has signed; `file` gets it, for those who are to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = file.with_suffix(".key")
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return context
