"""Issues: what a crew has to do. Each is a mission too, and is worked on like one."""

from resolvers.kernel import Domain
from resolvers.work.issues.activity import list_activity
from resolvers.work.issues.agents_files import (
    attach_as_agent,
    get_agent_attachment,
    list_agent_attachments,
    relate_as_agent,
)
from resolvers.work.issues.attachments import (
    AttachedToIssue,
    attach_to_issue,
    delete_attachment,
    get_attachment,
    list_attachments,
)
from resolvers.work.issues.bulk import BulkUpdated, bulk_update
from resolvers.work.issues.code_links import delete_code_link, link_code, list_code_links, refresh_code_link
from resolvers.work.issues.comments import create_comment, delete_comment, list_comments, update_comment
from resolvers.work.issues.finding import IssueCount, count_issues, find_issues
from resolvers.work.issues.graph import IssueRelationView
from resolvers.work.issues.internal import (
    create_agent_comment,
    create_agent_issue,
    get_agent_issue,
    list_agent_issues,
    update_agent_issue,
)
from resolvers.work.issues.issues import (
    create_issue,
    delete_issue,
    edit_issue,
    find_issue,
    get_issue,
    get_issue_by_id,
    get_issue_in_crew,
    list_issues,
    list_sub_issues,
    update_issue,
)
from resolvers.work.issues.moving import move_issue
from resolvers.work.issues.relations import (
    RelationCreated,
    RelationDeleted,
    create_relation,
    delete_relation,
    list_relations,
)
from resolvers.work.issues.work import Reviewed, WorkState, list_issue_runs, review_issue, start_issue, stop_issue

DOMAIN = Domain("issues")
