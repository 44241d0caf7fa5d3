import { untrack } from "svelte";
import { CombinedError } from "@urql/core";
import { client, reasonOf, type Reason } from "./client";
import type { Known } from "./document";
import { cause, contains } from "./echo";
import { freshFrom, nowFresh } from "./fresh";
import { connection } from "./live.svelte";

const TOGETHER = 250; // milliseconds between two readings that events cause
const SHOWN = 50; // milliseconds that a screen has to show what is known, before it is read anew

/** What a document answers, as it is now. The cache of the client is the state; this shows one entry of it. */
export class Read<Data, Variables extends Record<string, unknown>> {
  data = $state.raw<Data>();
  reason = $state.raw<Reason>();
  /** Of roots that failed beside others that did not, by name. */
  partial = $state.raw<Record<string, Reason>>({});
  /** An answer is awaited. */
  busy = $state(true);
  #again = async () => {};
  /** When the answer that is shown, or awaited, was asked for. */
  #asked = 0;
  #causes = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `begins` and `answered`: what is called for other variables, and for each answer. */
  constructor(document: Known<Data, Variables>, variables: () => Variables | undefined, begins = () => {}, answered: (data: Data) => void = () => {}) {
    const follow = () => {
      const given = variables();
      return given && untrack(() => (begins(), this.#follow(document, given, answered)));
    };
    // At once: what is known is there before anything is shown.
    let end = untrack(follow);
    let first = true;
    $effect(() => {
      if (first) variables();
      else end = follow();
      first = false;
      return () => end?.();
    });
    let begun = untrack(() => connection.restored);
    $effect(() => {
      if (connection.restored === begun) return;
      begun = connection.restored;
      untrack(() => this.soon());
    });
  }

  /** Nothing is known yet: what is read anew stays what it is, an empty list too. */
  get fetching(): boolean {
    return this.busy && this.data === undefined;
  }

  /** Reads anew; what is shown stays until the answer is there. */
  refresh(): Promise<void> {
    return this.#again();
  }

  /** The same, once for many events that come together; not for those whose changes were made here and have been read. */
  soon(): void {
    this.#causes.add(cause());
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const causes = [...this.#causes];
      this.#causes.clear();
      if (causes.some((one) => !contains(this.#asked, one))) void this.#again();
    }, TOGETHER);
  }

  /** An answer that is awaited already may be older than this moment. */
  #asks(): void {
    if (!this.busy) this.#asked = performance.now();
    this.busy = true;
  }

  #follow(document: Known<Data, Variables>, variables: Variables, answered: (data: Data) => void): () => void {
    this.data = undefined;
    this.reason = undefined;
    this.busy = false;
    this.#asks();
    const fresh = freshFrom(document.documentId, variables);
    this.#asked = fresh ?? this.#asked;
    let known = false;
    const send: typeof fetch = (...request) => (known ? new Promise<void>((done) => setTimeout(done, SHOWN)).then(() => fetch(...request)) : fetch(...request));
    const source = client.query<Data, Variables>(document, variables, { requestPolicy: fresh ? "cache-first" : "cache-and-network", fetch: send });
    const { unsubscribe } = source.subscribe(({ data, error, stale }) => {
      known = stale;
      if (stale) this.#asks();
      else this.busy = false;
      // An answer that did not come leaves what is shown.
      if (data && data !== this.data) answered((this.data = data as Data));
      this.reason = error && !anything(data) ? reasonOf(error) : undefined;
      this.partial = error ? byRoot(error) : {};
    });
    this.#again = async () => {
      this.#asks();
      await client.query<Data, Variables>(document, variables, { requestPolicy: "network-only" }).toPromise();
    };
    return () => {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#causes.clear();
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
  const asked = performance.now();
  const answer = client.query<Data, Variables>(document, variables, { requestPolicy: "cache-first" }).toPromise();
  void answer.then(({ operation, error }) => error || operation.context.meta?.cacheOutcome !== "miss" || nowFresh(document.documentId, variables, asked));
}
