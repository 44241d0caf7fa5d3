"""The engine of tests, and an image that needs no registry: a podman that they start for themselves, on a store of its
own, or the one whose socket CONTAINERS_SOCKET names, such as Docker's, of which all containers are removed.
"""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from resolvers.staff.crews.building import CACHE

IMAGE = "localhost/crewship-test/busybox:latest"
GIVEN = os.environ.get("CONTAINERS_SOCKET")
# An engine does not know control groups of both versions at once; where a machine has both, it is shown the first.
_SERVICE = """
umount /sys/fs/cgroup/unified 2>/dev/null
exec podman --root "$1/root" --runroot "$2" --cgroup-manager cgroupfs system service --time=0 "unix://$1/engine.sock"
"""


def why_not() -> str:
    """What is missing for an engine of our own; empty if nothing is."""
    if os.geteuid() != 0:
        return "an engine is started as root"
    needed = ("docker", "busybox") if GIVEN else ("podman", "crun", "unshare", "busybox")
    missing = [name for name in needed if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def with_python(interpreter: str) -> bytes:
    """The same beside an interpreter of this machine, with its standard library and what these load."""
    where = "import os, sys, sysconfig; print(sysconfig.get_path('stdlib'), os.path.realpath(sys.executable))"
    said = subprocess.run([interpreter, "-c", where], capture_output=True, check=True, text=True)
    library, program = said.stdout.split()
    extensions = map(str, Path(library, "lib-dynload").glob("*.so"))
    return rootfs([program, library, *loaded_by(program, *extensions)], interpreter)


def with_programs(*programs: str, beside: Sequence[str] = (), folders: Sequence[str] = ()) -> bytes:
    """The same with programs of this machine and what they load; `beside`: further files and folders of it; `folders`:
    that are empty.
    """
    return rootfs([*programs, *loaded_by(*programs), *beside], folders=folders)


def loaded_by(*programs: str) -> list[str]:
    told = subprocess.run(["ldd", *programs], capture_output=True, check=False, text=True).stdout
    return sorted({word for word in told.split() if word.startswith("/") and not word.endswith(":")})


def rootfs(beside: Sequence[str] = (), also_called: str = "", folders: Sequence[str] = ()) -> bytes:
    """A tar of busybox under the names of its programs; `beside`: files of this machine, each where it is here, and
    another name of the first.
    """
    program = Path(str(shutil.which("busybox")))
    names = subprocess.run([program, "--list"], capture_output=True, check=True, text=True).stdout.split()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        above = {str(parent) for path in (*beside, f"/{also_called}", *folders) for parent in Path(path).parents}
        parents = sorted(parent.strip("/") for parent in above - {".", "/"})
        for folder in sorted({"bin", "etc", "tmp", "proc", "run", "sys", "dev", "var", *parents, *folders}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(program, "bin/busybox")
        for name in set(names) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path in beside:
            tar.add(os.path.realpath(path), path, filter=_of_use)
        if also_called and also_called != beside[0]:
            link = tarfile.TarInfo(also_called)
            link.type, link.linkname = tarfile.SYMTYPE, beside[0]
            tar.addfile(link)
    return made.getvalue()


def _of_use(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = {"__pycache__", "test", "idlelib", "ensurepip", "dist-packages", "lib2to3", "turtledemo", "tkinter"}
    return None if left_out & set(entry.name.split("/")) else entry


@contextmanager
def running_engine(
    folder: Path, image: bytes | None = None, more: Mapping[str, bytes] = MappingProxyType({})
) -> Iterator[str]:
    """Its address; `image`: a tar for the one that it has; `more`: for further ones, by name. With the block all its
    containers end, and what it stored is removed.
    """
    images = {IMAGE: image or rootfs(), **more}
    if GIVEN is None:
        with _podman(folder, images) as made:
            yield made
        return
    docker = ["docker", "--host", f"unix://{GIVEN}"]
    for name, tar in images.items():
        subprocess.run([*docker, "import", "-", name], input=tar, capture_output=True, check=True)
    try:
        yield f"unix://{GIVEN}"
    finally:
        left = subprocess.run([*docker, "ps", "-aq"], capture_output=True, check=True, text=True).stdout.split()
        if left:
            subprocess.run([*docker, "rm", "--force", *left], capture_output=True, check=False)
        subprocess.run([*docker, "rmi", "--force", *images, *_built(docker)], capture_output=True, check=False)


def _built(docker: Sequence[str]) -> list[str]:
    told = [*docker, "images", "--format", "{{.Repository}}:{{.Tag}}", CACHE]
    return subprocess.run(told, capture_output=True, check=True, text=True).stdout.split()


@contextmanager
def _podman(folder: Path, images: Mapping[str, bytes]) -> Iterator[str]:
    run = tempfile.mkdtemp(prefix="podman-")  # it takes no path of more than 50 characters
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SERVICE, "sh", str(folder), run]
    ours = ["podman", "--root", str(folder / "root"), "--runroot", run, "--cgroup-manager", "cgroupfs"]
    for name, tar in images.items():
        subprocess.run([*ours, "import", "-", name], input=tar, capture_output=True, check=True)
    with (folder / "service.log").open("wb") as log:
        service = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        ends = time.monotonic() + 20
        while not (folder / "engine.sock").is_socket():
            if service.poll() is not None or time.monotonic() > ends:
                raise RuntimeError((folder / "service.log").read_text())
            time.sleep(0.02)
        yield f"unix://{folder / 'engine.sock'}"
    finally:
        subprocess.run([*ours, "rm", "--all", "--force", "--time", "0"], capture_output=True, check=False)
        service.terminate()
        service.wait(20)
        subprocess.run(["umount", str(folder / "root" / "overlay")], capture_output=True, check=False)
        shutil.rmtree(run, ignore_errors=True)
