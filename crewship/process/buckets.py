"""Bundles in a bucket of S3, or of a server that speaks it: `s3://bucket/folder`.

The library is loaded only for such an address. Access is by the usual variables: AWS_ACCESS_KEY_ID, AWS_REGION,
AWS_ENDPOINT_URL.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from crewship.process.database import StartError

SCHEME: Final = "s3://"
NOT_INSTALLED: Final = "bundles in S3 need the package obstore: pip install 'crewship[s3]'"
PART: Final = 8 << 20  # bytes of one request
HEAD: Final = 1 << 20  # bytes in which a manifest is found
END: Final = 48  # bytes that show the end of a bundle
RETRIES: Final[Any] = {"max_retries": 4, "retry_timeout": timedelta(minutes=2)}


def is_bucket(named: str | None) -> bool:
    return named is not None and named.startswith(SCHEME)


@contextlib.contextmanager
def explained(address: str, *, absent: bool = False) -> Iterator[None]:
    """Errors of the store in one line. They name no key. `absent`: FileNotFoundError is raised as it is."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError:
        if absent:
            raise
        raise StartError(f"{address} does not exist") from None
    except (BaseError, OSError, ValueError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StartError(f"{address} is not accessible ({said[:300]})") from None


def opened_store(address: str) -> Any:
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError:
        raise StartError(NOT_INSTALLED) from None
    options: Any = {"timeout": timedelta(minutes=5), "allow_http": os.environ.get("AWS_ALLOW_HTTP") in ("true", "1")}
    with explained(address):
        return S3Store.from_url(address, retry_config=RETRIES, client_options=options)


def _apart(address: str) -> tuple[Any, str]:
    """The store of the folder, and the name in it."""
    folder, _, name = address.rpartition("/")
    if not name or not folder.removeprefix(SCHEME):
        raise StartError(f"{address} names no bundle: s3://bucket/folder/bundle")
    return opened_store(folder), name


def send(path: Path, folder: str) -> str:
    """Copies a bundle into a folder of a bucket; returns its address. Raises StartError, and leaves no other bundle
    than a whole one.
    """
    store = opened_store(folder.rstrip("/"))
    address, size = f"{folder.rstrip('/')}/{path.name}", path.stat().st_size
    import obstore

    with explained(address):
        obstore.put(store, path.name, path, chunk_size=PART)
        stored = obstore.head(store, path.name)["size"]
        if stored != size:
            obstore.delete(store, path.name)
            raise StartError(f"{address} was stored with {stored} of {size} bytes, and is deleted again")
    return address


@contextlib.contextmanager
def fetched(address: str) -> Iterator[Path]:
    """A copy of a bundle, while the block runs. Its checksum shows whether the server sent what was stored."""
    store, name = _apart(address)
    import obstore

    with tempfile.TemporaryDirectory(prefix="crewship-bundle-") as folder:
        path = Path(folder) / name
        with explained(address), open(path, "wb") as file:
            found = obstore.get(store, name)
            for part in found.stream(min_chunk_size=PART):
                file.write(part)
            if file.tell() != found.meta["size"]:
                raise StartError(f"{address} ended after {file.tell()} of {found.meta['size']} bytes: try again")
        yield path


@contextlib.contextmanager
def heads(folder: str, suffix: str, mark: str) -> Iterator[Iterator[tuple[str, Path, int, float]]]:
    """Addresses, sizes and times of the bundles of a folder, each with a file of its beginning and its end. Beside
    those that are left out lies a file whose name ends with `mark`.
    """
    store = opened_store(folder.rstrip("/"))
    import obstore

    def described() -> Iterator[tuple[str, Path, int, float]]:
        with explained(folder):
            each = {meta["path"]: meta for batch in obstore.list(store) for meta in batch}
            for found in [meta for path, meta in each.items() if path.endswith(suffix) and path + mark not in each]:
                size = found["size"]
                spans = [(0, min(HEAD, size)), (max(HEAD, size - END), size)]
                with contextlib.suppress(FileNotFoundError):  # it was deleted meanwhile
                    parts = [bytes(obstore.get_range(store, found["path"], start=a, end=z)) for a, z in spans if a < z]
                    path.write_bytes(b"".join(parts))
                    yield f"{folder.rstrip('/')}/{found['path']}", path, size, found["last_modified"].timestamp()

    with tempfile.TemporaryDirectory(prefix="crewship-bundle-") as scratch:
        path = Path(scratch) / "head"
        yield described()
