"""Skills: the catalog, imports, and which agents have which."""

from resolvers.kernel import Domain
from resolvers.resources.skills.assignment import SkillAssigned, assign_skill, list_agent_skills, remove_skill
from resolvers.resources.skills.bulk import BulkImport, BulkImported, BulkSkipped, bulk_import_skills
from resolvers.resources.skills.catalog import (
    InstalledAgent,
    SkillDeleted,
    delete_skill,
    find_skills,
    get_skill,
    list_skills,
)
from resolvers.resources.skills.generating import SkillGenerated, generate_skill, generate_skill_for_agent
from resolvers.resources.skills.importing import SkillImported, import_skill
from resolvers.resources.skills.proposing import (
    ProposalApproved,
    ProposalRejected,
    SkillAuthored,
    approve_proposal,
    author_skill,
    list_proposals,
    reject_proposal,
)

DOMAIN = Domain("skills")
