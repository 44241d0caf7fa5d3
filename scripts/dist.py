"""Write a release into dist/: the wheel, the source archive, the pinned requirements, a bill of materials, checksums.

    python scripts/dist.py [DIRECTORY]

All times inside the files are the time of the last commit, so that two builds of a commit are the same bytes. The bill
of materials is CycloneDX 1.6: the Python packages that serving installs, and what the pages of the wheel contain.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.hash.factories import HashTypeFactory
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements" / "serve.txt"
UV = Path(sys.executable).with_name("uv")
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\\n(?P<hashes>(?: .*\n)+)", re.M)


def committed() -> int:
    """When the last commit was made, in seconds since 1970; SOURCE_DATE_EPOCH where the sources are no checkout."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    return int(subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT))  # noqa: S607


def python_packages() -> Iterator[Component]:
    """A package has a hash for each of its files; which of them a machine gets depends on its platform."""
    for pin in PIN.finditer(REQUIREMENTS.read_text()):
        yield Component(
            name=pin["name"],
            version=pin["version"],
            type=ComponentType.LIBRARY,
            bom_ref=f"pypi:{pin['name']}",
            purl=PackageURL("pypi", None, pin["name"], pin["version"]),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=h) for h in re.findall(r"sha256:(\w+)", pin["hashes"])],
            properties=[Property(name="crewship:marker", value=pin["marker"])] if pin["marker"] else [],
        )


def npm_package(name: str, version: str, file: str | None = None, **more: object) -> Component:
    group, _, own = name.rpartition("/")
    return Component(
        name=own,
        group=group or None,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"npm:{name}@{version}" + (f"#{file}" if file else ""),
        purl=PackageURL("npm", group or None, own, version, subpath=file),
        **more,  # type: ignore[arg-type]
    )


def console_packages() -> Iterator[Component]:
    """The packages that the build puts into the console's files."""
    licences = LicenseFactory()
    for place, package in json.loads((ROOT / "console" / "package-lock.json").read_text())["packages"].items():
        if not place or package.get("dev"):
            continue
        algorithm, _, digest = package["integrity"].partition("-")
        content = base64.b64decode(digest).hex()
        yield npm_package(
            place.rpartition("node_modules/")[2],
            package["version"],
            licenses=[licences.make_from_string(package["license"])],
            hashes=[HashTypeFactory().from_hashlib_alg(algorithm, content)],
        )


def bundled_files() -> Iterator[Component]:
    """Files of other packages that the wheel has as they are."""
    for asset in json.loads((ROOT / "crewship" / "static" / "vendor.json").read_text()):
        digest = HashType(alg=HashAlgorithm.SHA_256, content=asset["sha256"])
        yield npm_package(asset["package"], asset["version"], asset["member"], hashes=[digest])


def bill_of_materials(version: str, time: int, wheel: Path) -> str:
    """Its serial number follows from the wheel: the same release has the same bill."""
    digest = hashlib.sha256(wheel.read_bytes())
    product = Component(
        name="crewship",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="crewship",
        purl=PackageURL("pypi", None, "crewship", version),
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.hexdigest())],
    )
    parts = [*python_packages(), *console_packages(), *bundled_files()]
    bom = Bom(
        components=parts,
        serial_number=uuid.UUID(bytes=digest.digest()[:16], version=4),
        metadata=BomMetaData(component=product, timestamp=datetime.fromtimestamp(time, UTC)),
    )
    bom.register_dependency(product, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def main(out: Path) -> None:
    time = committed()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(time)}
    command = [str(UV), "build", "--quiet", "--no-build-isolation", "--no-create-gitignore", "--out-dir", str(out)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    (wheel,) = out.glob("*.whl")
    shutil.copyfile(REQUIREMENTS, out / f"crewship-{version}-requirements.txt")
    (out / f"crewship-{version}.cdx.json").write_text(bill_of_materials(version, time, wheel) + "\n")
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.iterdir())}
    (out / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    for name in (*sums, "SHA256SUMS"):
        print(out / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist")
