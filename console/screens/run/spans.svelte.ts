import { RunLive } from "../../generated/RunLive";
import { RunSpans } from "../../generated/RunSpans";
import type { TraceSpanFragment } from "../../generated/types";
import { client } from "../../lib/client";
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
  lines = $derived(linesOf(this.edges, this.folded));
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
        const known = new Set(this.edges.map(({ node }) => node.id));
        this.edges = [...this.edges, ...page.edges.filter(({ node }) => !known.has(node.id))];
        this.total = page.totalCount;
        this.#stale ||= page.pageInfo.hasNextPage;
      }
    } finally {
      this.#reading = false;
    }
  }

  #hear(span: Span): void {
    const at = this.edges.findIndex(({ node }) => node.id === span.id);
    if (at < 0) return void this.read();
    this.edges = this.edges.with(at, { cursor: this.edges[at]!.cursor, node: span });
  }
}

function linesOf(edges: readonly Edge[], folded: ReadonlySet<string>): Line[] {
  const known = new Set(edges.map(({ node }) => node.id));
  const within = new Map<string, number[]>();
  const outer: number[] = [];
  for (const [at, { node }] of edges.entries()) {
    if (node.parentId && known.has(node.parentId)) within.set(node.parentId, [...(within.get(node.parentId) ?? []), at]);
    else outer.push(at);
  }
  const lines: Line[] = [];
  const waiting = outer.toReversed().map((at) => ({ at, depth: 0 }));
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { at, depth } = next;
    const { node } = edges[at]!;
    const inner = within.get(node.id) ?? [];
    lines.push({ span: node, depth, inner: inner.length, before: edges[at - 1]?.cursor });
    if (!folded.has(node.id)) for (const one of inner.toReversed()) waiting.push({ at: one, depth: depth + 1 });
  }
  return lines;
}
