import type { SettingsAuditQueryVariables, SettingsJournalQueryVariables, JournalPriority } from "../../generated/types";

const day = (date: string | null, end: boolean): string | undefined => {
  const at = date ? new Date(`${date}T${end ? "23:59:59.999" : "00:00:00"}`) : undefined;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined;
};
const one = (value: string | null): string[] | undefined => (value ? [value] : undefined);

export const AUDIT_FILTERS = ["q", "action", "entity", "id", "user", "from", "to", "sort"] as const;
export const auditOf = (ws: string, query: URLSearchParams): SettingsAuditQueryVariables => ({
  ws,
  search: query.get("q") ?? undefined,
  action: query.get("action") ?? undefined,
  entity: query.get("entity") ?? undefined,
  entityId: query.get("id") ?? undefined,
  user: query.get("user") ?? undefined,
  from: day(query.get("from"), false),
  to: day(query.get("to"), true),
  sort: query.get("sort") === "oldest" ? "oldest_first" : undefined,
});

/** The same filters for the file. */
export function exportOf(ws: string, query: URLSearchParams): string {
  const { search, action, entity, entityId, user, from, to, sort } = auditOf(ws, query);
  const given = { workspace_id: ws, format: "csv", search, action, entity_type: entity, entity_id: entityId, user_id: user, date_from: from, date_to: to, sort };
  return `/api/v1/audit/export?${new URLSearchParams(Object.entries(given).filter((pair): pair is [string, string] => !!pair[1]))}`;
}

export const JOURNAL_FILTERS = ["q", "type", "severity", "actor", "crew", "agent", "priority", "from", "to"] as const;
export const journalOf = (ws: string, query: URLSearchParams): SettingsJournalQueryVariables => ({
  ws,
  q: query.get("q") ?? undefined,
  types: one(query.get("type")),
  severity: one(query.get("severity")),
  actor: one(query.get("actor")),
  crew: query.get("crew") ?? undefined,
  agent: query.get("agent") ?? undefined,
  priority: one(query.get("priority")) as JournalPriority[] | undefined,
  since: day(query.get("from"), false),
  until: day(query.get("to"), true),
});
