"""Fetch the third-party browser assets that `crewship/static/vendor.json` pins, and store them gzip-compressed.

    python scripts/bundle_assets.py            refuses a file whose SHA-256 is not the pinned one
    python scripts/bundle_assets.py --pin      after a version was changed in vendor.json: writes the new digests

Needs `npm` and whatever registry it is configured for. The files are the packages' own browser builds, unchanged. They
are kept compressed because that is how they are sent, and because it keeps 8 MB of minified text out of the repository
and the wheel. After a version change read the package's licence again and correct `crewship/static/NOTICE`.
"""

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "crewship" / "static"
MANIFEST = STATIC / "vendor.json"


def fetch(package: str, version: str, directory: Path) -> Path:
    """The tarball of one exact version; npm checks it against the registry's integrity value."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(directory), f"{package}@{version}"]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return directory / name


def read_member(tarball: Path, member: str) -> bytes:
    with tarfile.open(tarball) as archive:
        file = archive.extractfile(f"package/{member}")
        if file is None:
            raise FileNotFoundError(f"{tarball.name} holds no {member}")
        return file.read()


def main(pin: bool) -> None:
    entries = json.loads(MANIFEST.read_text())
    with tempfile.TemporaryDirectory() as directory:
        tarballs = {(e["package"], e["version"]): Path() for e in entries}
        for package, version in tarballs:
            tarballs[package, version] = fetch(package, version, Path(directory))
        for entry in entries:
            content = read_member(tarballs[entry["package"], entry["version"]], entry["member"])
            digest = hashlib.sha256(content).hexdigest()
            if pin:
                entry["sha256"] = digest
            elif entry["sha256"] != digest:
                sys.exit(f"{entry['file']}: the package holds {digest}, vendor.json pins {entry['sha256']}")
            # mtime 0: the same input gives the same bytes, so a run without changes leaves the checkout clean
            (STATIC / "assets" / "vendor" / f"{entry['file']}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    MANIFEST.write_text("[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in entries) + "\n]\n")


if __name__ == "__main__":
    main(pin="--pin" in sys.argv[1:])
