import type { CredentialStatus, CredentialType, ResourcesCredentialsQueryVariables } from "../../../generated/types";

/** The filters are in the address; so is what they read. */
export const variablesOf = (ws: string, query: URLSearchParams): ResourcesCredentialsQueryVariables => ({
  ws,
  status: (query.get("state") as CredentialStatus | null) ?? undefined,
  type: (query.get("type") as CredentialType | null) ?? undefined,
  search: query.get("search") ?? undefined,
});
