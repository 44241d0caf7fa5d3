"""No statement says what the oldest PostgreSQL that is promised does not know."""

import re
from pathlib import Path

from tests.architecture.source import PACKAGES, ROOT, name_of, python_files, sql_files, strings
from tests.every import for_every

NEWER = {
    16: r"\bANY_VALUE\s*\(|(?-i:\bIS (NOT )?JSON\b)|\bJSON_(ARRAY|ARRAYAGG|OBJECT|OBJECTAGG)\s*\("
    r"|\barray_(sample|shuffle)\s*\(|\bpg_input_is_valid\s*\(|\bpg_stat_io\b|\bdate_(add|subtract)\s*\(",
    17: r"\bJSON_(TABLE|VALUE|QUERY|EXISTS|SCALAR|SERIALIZE)\s*\(|\bMERGE INTO\b[^;]*\bRETURNING\b"
    r"|\bmerge_action\s*\(|\btransaction_timeout\b|\bON_ERROR\b|\b(GRANT|REVOKE) MAINTAIN\b"
    r"|\brandom\s*\(\s*[^)\s]|\bto_(bin|oct)\s*\(",
    18: r"\bRETURNING\b[^;]*\b(old|new)\.\w|(?-i:^\s*(old|new)\.(\w|$))|\buuidv[47]\s*\("
    r"|\bGENERATED ALWAYS AS\b[^;]*\bVIRTUAL\b|\bNOT ENFORCED\b|\bWITHOUT OVERLAPS\b"
    r"|\barray_(sort|reverse)\s*\(|\bcrc32c?\s*\(|\bcasefold\s*\(|\bio_method\b",
}
WORDS = {release: re.compile(words, re.IGNORECASE) for release, words in NEWER.items()}
# where the server's release chooses the text
CHOOSES = {("resolvers/kernel/store/statements.py", "old.")}


def found(texts: list[str]) -> list[str]:
    return [text for text in texts if any(words.search(text) for words in WORDS.values())]


@for_every(python_files(*PACKAGES), ids=name_of)
def test_every_promised_release_knows_the_words(path: Path) -> None:
    chosen = {text for name, text in CHOOSES if path == ROOT / name}
    assert [text for text in found(list(strings(path))) if text not in chosen] == []


@for_every(sql_files(), ids=name_of)
def test_every_promised_release_knows_the_functions_and_tables(path: Path) -> None:
    assert found(re.sub(r"--.*", "", path.read_text()).split(";")) == []


def test_what_is_newer_is_seen() -> None:
    for text in (
        "UPDATE crews SET name = $1 RETURNING id, old.name",
        "old.name",
        "SELECT any_value(name) FROM crews",
        "SELECT uuidv7()",
        "MERGE INTO crews USING new ON true WHEN MATCHED THEN DELETE RETURNING id",
        "SET transaction_timeout = '1s'",
        "SELECT * FROM JSON_TABLE($1, '$')",
        "a text GENERATED ALWAYS AS (lower(b)) VIRTUAL",
    ):
        assert found([text]) == [text]
    for text in ("DELETE FROM a USING old WHERE a.id = old.id RETURNING 1", "a text GENERATED ALWAYS AS (b) STORED"):
        assert found([text]) == []
