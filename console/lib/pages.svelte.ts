import { untrack } from "svelte";
import { client, reasonOf, type Reason } from "./client";
import type { Known } from "./document";
import { connection } from "./live.svelte";

const TOGETHER = 400; // milliseconds between two readings that events cause

interface Connected<Row> {
  nodes: readonly Row[];
  totalCount: number;
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** A list that is read page by page, as far as a person has looked. Rows keep their places; those that changed are replaced. */
export class Pages<Data, Variables extends { after?: string | null }, Row extends { id: string }> {
  rows = $state.raw<readonly Row[]>([]);
  total = $state(0);
  data = $state.raw<Data>();
  reason = $state.raw<Reason>();
  #reading = $state(false);
  #document: Known<Data, Variables>;
  #connected: (data: Data) => Connected<Row> | null | undefined;
  #variables: Variables | undefined;
  #next: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(document: Known<Data, Variables>, variables: () => Variables, connected: (data: Data) => Connected<Row> | null | undefined) {
    this.#document = document;
    this.#connected = connected;
    $effect(() => {
      const given = variables();
      untrack(() => this.#begin(given));
      return () => clearTimeout(this.#timer);
    });
    let begun = untrack(() => connection.restored);
    $effect(() => {
      if (connection.restored === begun) return;
      begun = connection.restored;
      untrack(() => this.soon());
    });
  }

  #begin(variables: Variables): void {
    this.#variables = variables;
    this.#next = null;
    const known = client.readQuery<Data, Variables>(this.#document, variables)?.data;
    this.rows = [];
    this.data = undefined;
    if (known) this.#take(known, false);
    void this.#read(undefined);
  }

  /** Nothing is known yet: an empty list that is read anew stays an empty list. */
  get fetching(): boolean {
    return this.#reading && this.data === undefined;
  }

  refresh(): void {
    void this.#read(undefined);
  }

  soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.refresh();
    }, TOGETHER);
  }

  more(): void {
    if (this.#next && !this.#reading) void this.#read(this.#next);
  }

  async #read(after: string | undefined): Promise<void> {
    const asked = this.#variables!;
    this.#reading = true;
    const { data, error } = await client.query<Data, Variables>(this.#document, { ...asked, after }, { requestPolicy: "network-only" }).toPromise();
    if (asked !== this.#variables) return;
    this.#reading = false;
    this.reason = error && !(data && this.#connected(data)) ? reasonOf(error) : undefined;
    if (data && this.#connected(data)) this.#take(data, after !== undefined);
  }

  #take(data: Data, later: boolean): void {
    const page = this.#connected(data)!;
    const read = new Map(page.nodes.map((row) => [row.id, row]));
    if (later) {
      const shown = new Set(this.rows.map(({ id }) => id));
      this.rows = [...this.rows, ...page.nodes.filter(({ id }) => !shown.has(id))];
    } else {
      // What was read before and is not on the first page any more stands behind it, unless the first page is all.
      const rest = page.pageInfo.hasNextPage ? this.rows.filter(({ id }) => !read.has(id)) : [];
      this.rows = [...page.nodes, ...rest];
      this.data = data;
    }
    this.total = page.totalCount;
    if (later || this.rows.length === page.nodes.length) this.#next = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  }
}
