import type { TypedDocumentNode } from "@urql/core";

/** A document of the console, by its id. The service knows its text: see tools/documents.mjs. */
export type Known<Data, Variables extends Record<string, unknown>> = TypedDocumentNode<Data, Variables> & { documentId: string };

export function document<Data, Variables extends Record<string, unknown>>(documentId: string): Known<Data, Variables> {
  return { kind: "Document", definitions: [], documentId } as unknown as Known<Data, Variables>;
}
