import { client, reasonOf, type Reason } from "./client";
import type { Known } from "./document";
import { Read } from "./read.svelte";

interface Connected<Row> {
  nodes: readonly Row[];
  totalCount: number;
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** A list that is read page by page, as far as a person has looked. Rows keep their places; those that changed are replaced. */
export class Pages<Data, Variables extends { after?: string | null }, Row extends { id: string }> {
  rows = $state.raw<readonly Row[]>([]);
  total = $state(0);
  #first: Read<Data, Variables>;
  /** Why a later page was not read. */
  #lost = $state.raw<Reason>();
  #reading = $state(false);
  #document: Known<Data, Variables>;
  #connected: (data: Data) => Connected<Row> | null | undefined;
  #variables: () => Variables;
  #next: string | null = null;
  #wanted = false;
  /** Counts the lists of other variables. */
  #list = 0;

  constructor(document: Known<Data, Variables>, variables: () => Variables, connected: (data: Data) => Connected<Row> | null | undefined) {
    this.#document = document;
    this.#variables = variables;
    this.#connected = connected;
    this.#first = new Read(document, variables, () => this.#begin(), (data) => this.#take(data, false));
  }

  /** The first page, with what else its document asks for. */
  get data(): Data | undefined {
    return this.#first.data;
  }

  /** Why there is no list: the rest of the document may be there. */
  get reason(): Reason | undefined {
    const { data, reason, partial } = this.#first;
    return this.#lost ?? reason ?? (data && !this.#connected(data) ? Object.values(partial)[0] : undefined);
  }

  get busy(): boolean {
    return this.#reading || this.#first.busy;
  }

  get fetching(): boolean {
    return this.#first.fetching;
  }

  refresh(): void {
    void this.#first.refresh();
  }

  soon(): void {
    this.#first.soon();
  }

  more(): void {
    // What is asked for while another answer is awaited is read after it: the view does not ask again.
    this.#wanted = this.busy;
    if (this.#next && !this.busy) void this.#read(this.#next);
  }

  #begin(): void {
    this.#list++;
    this.#next = null;
    this.#wanted = false;
    this.#lost = undefined;
    this.#reading = false;
    this.rows = [];
  }

  async #read(after: string): Promise<void> {
    const list = this.#list;
    this.#reading = true;
    const { data, error } = await client.query<Data, Variables>(this.#document, { ...this.#variables(), after }, { requestPolicy: "network-only" }).toPromise();
    if (list !== this.#list) return;
    this.#reading = false;
    this.#lost = error && !(data && this.#connected(data)) ? reasonOf(error) : undefined;
    if (data) this.#take(data, true);
  }

  #take(data: Data, later: boolean): void {
    const page = this.#connected(data);
    if (!page) return;
    const read = new Set(page.nodes.map(({ id }) => id));
    if (later) {
      const shown = new Set(this.rows.map(({ id }) => id));
      this.rows = [...this.rows, ...page.nodes.filter(({ id }) => !shown.has(id))];
    } else {
      // What was read before and is not on the first page any more stands behind it, unless the first page is all.
      const rest = page.pageInfo.hasNextPage ? this.rows.filter(({ id }) => !read.has(id)) : [];
      this.rows = [...page.nodes, ...rest];
    }
    this.total = page.totalCount;
    if (later || this.rows.length === page.nodes.length) this.#next = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    if (this.#wanted) this.more();
  }
}
