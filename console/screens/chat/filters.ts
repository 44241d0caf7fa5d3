import type { ChatsQueryVariables } from "../../generated/types";

export const FILTERS = ["q", "with", "unread"] as const;

/** The filters of the list are in the address; so is what they read. */
export const variablesOf = (ws: string, query: URLSearchParams): ChatsQueryVariables => ({
  ws,
  search: query.get("q")?.trim() || undefined,
  agent: query.get("with") || undefined,
  unread: query.has("unread") || undefined,
});
