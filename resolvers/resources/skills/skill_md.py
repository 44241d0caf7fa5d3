"""SKILL.md: how a skill is written down (Agent Skills), and what is wrong with one (contract: skills, skill_md).

Everything here is a function of a text that a stranger wrote: no line of it runs for longer than the text is long, and
the front matter is YAML without anchors, tags and depth.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from models import bounds
from models.resources.skills import ScanStatus, SkillCategory
from resolvers.resources.skills.licenses import spdx_of
from resolvers.resources.skills.scanning import scan

MARKER: Final = "---"
MOST_FRONT_MATTER: Final = 16 << 10  # characters
DEEPEST: Final = 8
MOST_SLUG: Final = 200  # bytes: a folder is called so
SHORT: Final = 30  # bytes of a description
NO_DESCRIPTION: Final = "The description is missing: agents cannot know when to use the skill."
SHORT_DESCRIPTION: Final = "The description is short: say what the skill does, and when to use it."
NO_TRIGGER: Final = 'The description does not say when to use the skill, such as "Use when …".'
TRIGGER: Final = re.compile(
    r"\buse (?:this )?(?:skill )?when\b|\buseful (?:for|when)\b|\bto [a-z]+\b|\bfor [a-z]+ing\b", re.IGNORECASE
)
COMMAND: Final = re.compile(r"!`[^`]*`")
TEXTS: Final = {
    "name": bounds.LINE,
    "display_name": bounds.LINE,
    "version": bounds.NAME,
    "author": bounds.LINE,
    "vendor": bounds.LINE,
    "homepage": bounds.URL,
    "license": bounds.LINE,
    "description": bounds.DESCRIPTION,
    "category": bounds.NAME,
    "icon": bounds.NAME,
}
LISTS: Final = ("credential_requirements", "tags")
MOST_LISTED: Final = 100
MOST_OF_ONE: Final = 90  # characters: a whole list is a column of bounds.DESCRIPTION


class SkillFault(ValueError):
    """A fault of a SKILL.md, as its author sees it."""


@dataclass(frozen=True, slots=True)
class SkillFile:
    """A SKILL.md that was understood. `license` is as it was written, `spdx` which one that is."""

    slug: str
    name: str
    display_name: str
    description: str
    content: str
    category: SkillCategory
    version: str | None
    author: str | None
    vendor: str | None
    homepage: str | None
    license: str | None
    spdx: str | None
    icon: str | None
    tags: Sequence[str]
    credential_requirements: Sequence[str]
    scan_status: ScanStatus
    scan_reason: str | None
    remark: str | None

    @property
    def description_quality(self) -> str | None:
        """The finding of the scan, otherwise the remark on the description."""
        return self.scan_reason or self.remark

    def called(self, slug: str) -> "SkillFile":
        """The same file under a slug that a user has chosen."""
        name = slug if self.name == self.slug else self.name
        display_name = slug if self.display_name == self.slug else self.display_name
        return replace(self, slug=slug, name=name, display_name=display_name)


def parse(text: str, *, whole: bool = False) -> SkillFile:
    """Raises SkillFault. `whole`: the front matter is scanned, too."""
    if "\0" in text:
        raise SkillFault("SKILL.md holds a NUL character")
    if len(text.encode(errors="surrogatepass")) > bounds.SKILL:
        raise SkillFault(f"SKILL.md has more than {bounds.SKILL >> 10} KiB")
    head, body = split(text)
    values = front_matter(head)
    name = values.get("name") or ""
    slug = slug_of(name)
    if not slug:
        raise SkillFault("name: the front matter has no name with a letter or digit in it")
    if len(slug.encode()) > MOST_SLUG:
        raise SkillFault(f"name: has more than {MOST_SLUG} bytes")
    content = COMMAND.sub("", body)
    reason = scan(text if whole else content)
    description = values.get("description") or ""
    category = (values.get("category") or "").upper()
    written = values.get("license") or None
    return SkillFile(
        slug=slug,
        name=values.get("display_name") or slug,
        display_name=values.get("display_name") or slug,
        description=description,
        content=content,
        category=SkillCategory(category) if category in SkillCategory.__members__ else SkillCategory.CUSTOM,
        version=values.get("version") or None,
        author=values.get("author") or None,
        vendor=values.get("vendor") or None,
        homepage=values.get("homepage") or None,
        license=written,
        spdx=spdx_of(written),
        icon=values.get("icon") or None,
        tags=values.get("tags") or (),
        credential_requirements=values.get("credential_requirements") or (),
        scan_status=ScanStatus.FLAGGED if reason else ScanStatus.CLEAN,
        scan_reason=reason,
        remark=lint(description),
    )


def split(text: str) -> tuple[str, str]:
    """The front matter and the body. Text before the first marker is ignored."""
    lines = text.split("\n")
    marks = (number for number, line in enumerate(lines) if line.removesuffix("\r") == MARKER)
    first, second = next(marks, None), next(marks, None)
    if first is None or second is None:
        raise SkillFault("There is no front matter: it stands between two lines that are ---")
    body = lines[second + 1 :]
    blank = next((number for number, line in enumerate(body) if line.strip()), len(body))
    return "\n".join(lines[first + 1 : second]), "\n".join(body[blank:])


def front_matter(head: str) -> dict[str, Any]:
    """The known keys, as texts and lists of texts; the last one of repeated keys."""
    if len(head) > MOST_FRONT_MATTER:
        raise SkillFault(f"The front matter has more than {MOST_FRONT_MATTER} characters")
    read = _loaded(head)
    if not isinstance(read, Mapping):
        raise SkillFault("The front matter is no mapping of keys to values")
    return {key: _text(key, read[key]) for key in TEXTS if key in read} | {
        key: _texts(key, read[key]) for key in LISTS if key in read
    }


def _loaded(head: str) -> Any:
    """Loads YAML with every scalar as a text, because types would be ambiguous."""
    import yaml  # a process that imports none does not load it

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        depth = 0
        for event in yaml.parse(head, Loader=loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise SkillFault("The front matter has anchors or aliases")
            if getattr(event, "tag", None) is not None:
                raise SkillFault("The front matter has tags of types")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise SkillFault(f"The front matter is nested more than {DEEPEST} levels deep")
        return yaml.load(head, Loader=loader)  # noqa: S506 - it makes texts, lists and mappings, and nothing else
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise SkillFault(f"The front matter is no valid YAML{where}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, SkillFault):
            raise
        raise SkillFault("The front matter is no valid YAML") from None


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SkillFault(f"{key}: must be a text")
    value = value.strip()
    if len(value) > TEXTS[key]:
        raise SkillFault(f"{key}: has more than {TEXTS[key]} characters")
    return "" if value in ("~", "null") else value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise SkillFault(f"{key}: must be a list of texts")
    if len(value) > MOST_LISTED or any(len(one) > MOST_OF_ONE for one in value):
        raise SkillFault(f"{key}: has more than {MOST_LISTED} texts, or one of more than {MOST_OF_ONE} characters")
    return tuple(value)


def slug_of(name: str) -> str:
    """Lower case; every character except letters, digits, hyphens and underscores becomes a hyphen."""
    lowered = unicodedata.normalize("NFC", name.strip().lower())
    kept = "".join([c if c.isalpha() or c.isdecimal() or c in "-_" else "-" for c in lowered])
    return re.sub(r"-+", "-", kept).strip("-")


def name_key(name: str) -> str:
    """Names that differ in their letter case alone have the same."""
    return unicodedata.normalize("NFC", name.casefold())[: bounds.LABEL]


def lint(description: str) -> str | None:
    """A remark on a description that does not say when to use the skill."""
    if not description:
        return NO_DESCRIPTION
    if len(description.encode(errors="surrogatepass")) < SHORT:
        return SHORT_DESCRIPTION
    return None if TRIGGER.search(description) else NO_TRIGGER
