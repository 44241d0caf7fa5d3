"""The file of trusted GraphQL documents: a JSON object of their texts by SHA-256."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from crewship.process.database import StartError

PREFIX = "sha256:"
VARIABLE = "CREWSHIP_TRUSTED_DOCUMENTS_FILE"


def read_documents(file: Path | None) -> Mapping[str, str]:
    """The documents by their hash, in hexadecimal; in the file it can begin with `sha256:`. Raises StartError for a
    file with a key that is not the hash of its text: no request could name such a document.
    """
    if file is None:
        return {}
    try:
        documents = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"{VARIABLE}: {file} cannot be read as JSON: {error}") from None
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise StartError(f"{VARIABLE}: {file} must be a JSON object of texts by their SHA-256")
    found = {key.removeprefix(PREFIX).lower(): text for key, text in documents.items()}
    wrong = [key for key, text in documents.items() if not _is_of(key, text)]
    if wrong:
        raise StartError(
            f"{VARIABLE}: {file} has {len(wrong)} of {len(documents)} keys that are not the SHA-256 of their text, such"
            f" as {wrong[0][:80]!r}; write the file anew from the documents"
        )
    return found


def _is_of(key: str, text: str) -> bool:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == key.removeprefix(PREFIX).lower()
