import { RunLive } from "../../generated/RunLive";
import { RunSpans } from "../../generated/RunSpans";
import type { TraceSpanFragment } from "../../generated/types";
import { client } from "../../lib/client";
import { idle } from "../../lib/idle";
import { follow } from "../../lib/live.svelte";

export type Span = TraceSpanFragment;
interface Edge {
  cursor: string;
  node: Span;
}
/** A line of the trace: how deep it stands, and the cursor before it, by which its details are read. */
export interface Line {
  span: Span;
  depth: number;
  inner: number;
  before: string | undefined;
}
const MOST = 5_000; // spans that are shown

/** The spans of a run, in the order in which they begin; read to the end, then followed. */
export class Spans {
  edges = $state.raw<readonly Edge[]>([]);
  total = $state(0);
  folded = $state.raw<ReadonlySet<string>>(new Set());
  lines = $derived(this.#ordered(this.edges, this.folded));
  /** The place of each span among the edges, and its line: what did not change is not shown anew. */
  #places = new Map<string, number>();
  #lines: Line[] = [];
  #reading = false;
  #stale = false;

  constructor(
    readonly ws: string,
    readonly id: string,
  ) {
    $effect(() => {
      void this.read();
      return follow(RunLive, { ws, id }, (event) => event.__typename === "RunEntryEvent" && this.#hear(event.entry), () => void this.read());
    });
  }

  fold(id: string): void {
    const folded = new Set(this.folded);
    if (!folded.delete(id)) folded.add(id);
    this.folded = folded;
  }

  /** Reads on from the last span that is known. */
  async read(): Promise<void> {
    this.#stale = true;
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#stale && this.edges.length < MOST) {
        this.#stale = false;
        const after = this.edges.at(-1)?.cursor;
        const { data } = await client.query(RunSpans, { ws: this.ws, id: this.id, after }, { requestPolicy: "network-only" }).toPromise();
        const page = data?.run?.spans;
        if (!page) return;
        // The first lines come at once, the others between two frames: a person may scroll.
        if (this.edges.length) await idle();
        this.#add(page.edges);
        this.total = page.totalCount;
        this.#stale ||= page.pageInfo.hasNextPage;
      }
    } finally {
      this.#reading = false;
    }
  }

  #add(read: readonly Edge[]): void {
    const added = read.filter(({ node }) => !this.#places.has(node.id));
    for (const [at, { node }] of added.entries()) this.#places.set(node.id, this.edges.length + at);
    this.edges = [...this.edges, ...added];
  }

  #hear(span: Span): void {
    const at = this.#places.get(span.id);
    if (at === undefined) return void this.read();
    this.edges = this.edges.with(at, { cursor: this.edges[at]!.cursor, node: span });
  }

  /** A span stands below its parent, in the order in which both begin. */
  #ordered(edges: readonly Edge[], folded: ReadonlySet<string>): Line[] {
    const within = new Map<number | undefined, number[]>();
    for (const [at, { node }] of edges.entries()) {
      const parent = node.parentId ? this.#places.get(node.parentId) : undefined;
      const beside = within.get(parent);
      if (beside) beside.push(at);
      else within.set(parent, [at]);
    }
    const lines: Line[] = [];
    const waiting = (within.get(undefined) ?? []).toReversed().map((at) => ({ at, depth: 0 }));
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { at, depth } = next;
      const inner = within.get(at) ?? [];
      lines.push(this.#line(edges, at, depth, inner.length));
      if (!folded.has(edges[at]!.node.id)) for (const one of inner.toReversed()) waiting.push({ at: one, depth: depth + 1 });
    }
    return lines;
  }

  #line(edges: readonly Edge[], at: number, depth: number, inner: number): Line {
    const span = edges[at]!.node;
    const made = this.#lines[at];
    if (made?.span === span && made.depth === depth && made.inner === inner) return made;
    return (this.#lines[at] = { span, depth, inner, before: edges[at - 1]?.cursor });
  }
}
