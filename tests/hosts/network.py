"""Hosts on one network: namespaces of Linux on a bridge, each of which can lose its cable."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


def _ip(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _possible() -> bool:
    name = f"cwt{os.getpid()}"
    try:
        _ip("link", "add", name, "type", "bridge")
        _ip("link", "del", name)
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


networked = pytest.mark.skipif(not _possible(), reason="this machine makes no networks")


@dataclass
class Host:
    """A namespace. What is sent while it is away is lost, and nobody hears of it."""

    space: str
    cable: str
    bridge: str
    address: str

    @property
    def within(self) -> list[str]:
        """Begins a command that runs there."""
        return ["ip", "netns", "exec", self.space]

    def leave(self) -> None:
        _ip("link", "set", self.cable, "nomaster")

    def come_back(self) -> None:
        _ip("link", "set", self.cable, "master", self.bridge)


@dataclass
class Network:
    """`address`: of this machine, which is on it, too."""

    address: str
    hosts: list[Host]


@contextlib.contextmanager
def network(number: int) -> Iterator[Network]:
    own = f"cw{os.getpid()}"
    prefix = f"10.213.{os.getpid() % 250}"
    made = Network(f"{prefix}.1", [Host(f"{own}-{n}", f"{own}c{n}", own, f"{prefix}.{n + 2}") for n in range(number)])
    try:
        _ip("link", "add", own, "type", "bridge")
        _ip("address", "add", f"{made.address}/24", "dev", own)
        _ip("link", "set", own, "up")
        for host in made.hosts:
            _ip("netns", "add", host.space)
            _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.space)
            _ip("-n", host.space, "address", "add", f"{host.address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", host.space, "link", "set", link, "up")
            _ip("link", "set", host.cable, "up")
            host.come_back()
        yield made
    finally:
        for host in made.hosts:
            subprocess.run(["ip", "netns", "del", host.space], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", own], check=False, capture_output=True)
