import { untrack } from "svelte";
import { CombinedError } from "@urql/core";
import { client, reasonOf, type Reason } from "./client";
import type { Known } from "./document";
import { connection } from "./live.svelte";

const TOGETHER = 250; // milliseconds between two readings that events cause

/** What a document answers, as it is now. The cache of the client is the state; this shows one entry of it. */
export class Read<Data, Variables extends Record<string, unknown>> {
  data = $state.raw<Data>();
  reason = $state.raw<Reason>();
  /** Of roots that failed beside others that did not, by name. */
  partial = $state.raw<Record<string, Reason>>({});
  fetching = $state(true);
  #again = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(document: Known<Data, Variables>, variables: () => Variables | undefined) {
    $effect(() => {
      const given = variables();
      if (given === undefined) return;
      return untrack(() => this.#follow(document, given));
    });
    let begun = untrack(() => connection.restored);
    $effect(() => {
      if (connection.restored === begun) return;
      begun = connection.restored;
      untrack(() => this.soon());
    });
  }

  /** Reads anew; what is shown stays until the answer is there. */
  refresh(): void {
    this.#again();
  }

  /** The same, once for many events that come together. */
  soon(): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#again();
    }, TOGETHER);
  }

  #follow(document: Known<Data, Variables>, variables: Variables): () => void {
    this.data = undefined;
    this.reason = undefined;
    this.fetching = true;
    const source = client.query<Data, Variables>(document, variables, { requestPolicy: "cache-and-network" });
    const { unsubscribe } = source.subscribe(({ data, error, stale }) => {
      this.fetching = stale;
      // An answer that did not come leaves what is shown.
      if (data !== undefined && data !== null) this.data = data as Data;
      this.reason = error && !anything(data) ? reasonOf(error) : undefined;
      this.partial = error ? byRoot(error) : {};
    });
    this.#again = () => {
      this.fetching = true;
      void client.query<Data, Variables>(document, variables, { requestPolicy: "network-only" }).toPromise();
    };
    return () => {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      unsubscribe();
    };
  }
}

const anything = (data: unknown): boolean => data !== null && typeof data === "object" && Object.values(data).some((root) => root !== null);

function byRoot(error: CombinedError): Record<string, Reason> {
  const found: Record<string, Reason> = {};
  for (const one of error.graphQLErrors) {
    if (one.path?.length !== 1) continue; // below, the rest of the root is there
    const root = one.path[0];
    if (root !== undefined) found[String(root)] ??= reasonOf(new CombinedError({ graphQLErrors: [one], response: error.response }));
  }
  return found;
}

export function preload<Data, Variables extends Record<string, unknown>>(document: Known<Data, Variables>, variables: Variables): void {
  void client.query<Data, Variables>(document, variables, { requestPolicy: "cache-first" }).toPromise();
}
