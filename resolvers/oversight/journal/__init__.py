"""The journal: the history of a workspace, as a view over the rows of other domains and a table of entries without such
a row.
"""

from resolvers.kernel import Domain
from resolvers.oversight.journal.entries import JournalEntryView
from resolvers.oversight.journal.following import JOURNAL, stream_journal
from resolvers.oversight.journal.listing import (
    JournalCount,
    JournalNames,
    count_journal,
    get_journal_entry,
    list_journal,
    look_up_names,
)
from resolvers.oversight.journal.writing import (
    JournalEntryEmitted,
    JournalPriorityChanged,
    emit_journal_entry,
    set_journal_priority,
)

DOMAIN = Domain("journal", scopes="workspace")
