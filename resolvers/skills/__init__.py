"""Skills: the catalog, imports, and which agents have which."""

from resolvers.skills.catalog import InstalledAgent, SkillDeleted, delete_skill, get_skill, list_skills
from resolvers.skills.importing import SkillImported, import_skill

__all__ = [
    "InstalledAgent",
    "SkillDeleted",
    "SkillImported",
    "delete_skill",
    "get_skill",
    "import_skill",
    "list_skills",
]
