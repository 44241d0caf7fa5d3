import { Client, CombinedError, cacheExchange, fetchExchange, mapExchange } from "@urql/core";
import type { Known } from "./document";
import { answered, newMutationId } from "./echo";
import { noneFresh } from "./fresh";
import { texts } from "./texts";

/** The secret of a first start is in a fragment, which is sent to nobody: it stays one. */
export function signInFirst(): void {
  const { pathname, search, hash } = location;
  const back = pathname + search + hash;
  location.replace(hash.startsWith("#setup") ? `/welcome${hash}` : `/login?callbackUrl=${back === "/console/" ? "/" : encodeURIComponent(back)}`);
}

const MUTATION = "X-Client-Mutation-Id";

export const client = new Client({
  url: "/graphql",
  preferGetMethod: false,
  fetchOptions: { credentials: "same-origin", headers: { accept: "application/graphql-response+json, application/json;q=0.9" } },
  exchanges: [
    mapExchange({
      onOperation(operation) {
        if (operation.kind !== "mutation") return operation;
        const options = operation.context.fetchOptions as RequestInit;
        const headers = { ...(options.headers as Record<string, string>), [MUTATION]: newMutationId() };
        return { ...operation, context: { ...operation.context, fetchOptions: { ...options, headers } } };
      },
      onError(error) {
        if (reasonOf(error).kind === "signedOut") signInFirst();
      },
    }),
    cacheExchange,
    // Before the cache reads anew what the mutation has changed.
    mapExchange({
      onResult({ operation }) {
        if (operation.kind !== "mutation") return;
        noneFresh();
        answered(((operation.context.fetchOptions as RequestInit).headers as Record<string, string>)[MUTATION] ?? "");
      },
    }),
    fetchExchange,
  ],
});

export type Kind = "offline" | "signedOut" | "forbidden" | "missing" | "conflict" | "invalid" | "busy" | "outdated" | "failed";

/** Why something was not done, as a person can act on it. */
export interface Reason {
  kind: Kind;
  message: string;
  /** What each field of the input lacks. */
  fields: Record<string, string>;
  requires?: string;
}

const KINDS: Record<string, Kind> = {
  UNAUTHENTICATED: "signedOut",
  FORBIDDEN: "forbidden",
  NOT_FOUND: "missing",
  CONFLICT: "conflict",
  PRECONDITION_FAILED: "conflict",
  BAD_REQUEST: "invalid",
  RATE_LIMITED: "busy",
  UNAVAILABLE: "busy",
};

export function reasonOf(error: CombinedError | Error): Reason {
  if (!(error instanceof CombinedError)) return { kind: "failed", message: error.message, fields: {} };
  const first = error.graphQLErrors[0];
  if (!first) {
    const status = (error.response as Response | undefined)?.status;
    if (status === 401) return { kind: "signedOut", message: texts.states.signedOut, fields: {} };
    if (status === 429) return { kind: "busy", message: texts.states.busy, fields: {} };
    if (status) return { kind: "failed", message: texts.states.answered(status), fields: {} };
    return { kind: "offline", message: texts.states.offline, fields: {} };
  }
  const { code, fields, requires } = first.extensions as {
    code?: string;
    fields?: Record<string, string> | { field: string; message: string }[];
    requires?: { role?: string; capability?: string };
  };
  // Only documents of another version are unknown to the server.
  if ((error.response as Response | undefined)?.status === 404 && !first.path) return { kind: "outdated", message: first.message, fields: {} };
  const named = Array.isArray(fields) ? Object.fromEntries(fields.map(({ field, message }) => [field, message])) : (fields ?? {});
  return { kind: KINDS[code ?? ""] ?? "failed", message: first.message, fields: named, requires: requires?.role ?? requires?.capability };
}

/** The answer of a mutation; throws what `reasonOf` explains. */
export async function change<Data, Variables extends Record<string, unknown>>(document: Known<Data, Variables>, variables: Variables): Promise<Data> {
  const result = await client.mutation<Data, Variables>(document, variables).toPromise();
  if (result.error) throw result.error;
  return result.data!;
}
