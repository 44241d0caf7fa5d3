import { IssueBoard } from "../../generated/IssueBoard";
import { IssueList } from "../../generated/IssueList";
import { IssueMove } from "../../generated/IssueMove";
import type { IssueBoardQuery, IssueBoardQueryVariables, IssueCardFragment, IssueStatus } from "../../generated/types";
import { attempt } from "../../lib/attempt";
import { change, client, type Reason } from "../../lib/client";
import { Read } from "../../lib/read.svelte";
import { texts } from "../../lib/texts";
import { COLUMNS } from "./states";

export type Card = IssueCardFragment;
export interface Column {
  status: IssueStatus;
  rows: readonly Card[];
  total: number;
  next: string | null;
}
/** Where a card goes: behind another one, to the first place (null), or to where its rank puts it. */
interface Move {
  card: Card;
  to: IssueStatus;
  after?: string | null;
}

/** The columns of a board, and the moves that the server has not answered yet: they are shown as done. */
export class Board {
  #read = $state.raw<readonly Column[]>();
  #moves = $state.raw<readonly Move[]>([]);
  columns = $derived(this.#read && this.#moves.reduce(moved, this.#read));
  #first: Read<IssueBoardQuery, IssueBoardQueryVariables>;
  #variables!: IssueBoardQueryVariables;
  #taken = Promise.resolve();
  #reading = 0;

  constructor(variables: () => IssueBoardQueryVariables) {
    const asked = () => (this.#variables = variables());
    this.#first = new Read(IssueBoard, asked, () => (this.#read = undefined), (data) => void (this.#taken = this.#take(data)));
  }

  get reason(): Reason | undefined {
    return this.#first.reason;
  }

  soon(): void {
    this.#first.soon();
  }

  async refresh(): Promise<void> {
    await this.#first.refresh();
    await this.#taken;
  }

  /** Each column as far as it was read before. */
  async #take(data: IssueBoardQuery): Promise<void> {
    const reading = ++this.#reading;
    const before = this.#read;
    const columns = columnsOf(data);
    if (!before) this.#read = columns;
    for (const [at, column] of columns.entries()) {
      let read = column;
      while (read.next && read.rows.length < (before?.[at]?.rows.length ?? 0)) read = await this.#further(read);
      columns[at] = read;
    }
    if (reading === this.#reading) this.#read = columns;
  }

  async more(status: IssueStatus): Promise<void> {
    const at = COLUMNS.indexOf(status);
    const column = this.#read?.[at];
    if (!column?.next) return;
    const further = await this.#further(column);
    // Another reading may have replaced the column meanwhile.
    if (this.#read?.[at] === column) this.#read = this.#read.with(at, further);
  }

  async #further(column: Column): Promise<Column> {
    const variables = { ...this.#variables, status: [column.status], order: "rank_asc" as const, after: column.next };
    const { data } = await client.query(IssueList, variables, { requestPolicy: "network-only" }).toPromise();
    const page = data?.issues;
    if (!page) return { ...column, next: null };
    const shown = new Set(column.rows.map(({ id }) => id));
    return { ...column, rows: [...column.rows, ...page.nodes.filter(({ id }) => !shown.has(id))], total: page.totalCount, next: page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null };
  }

  /** Moves a card; it stands there at once, and goes back if the server refuses. */
  async move(card: Card, to: IssueStatus, after?: string | null): Promise<boolean> {
    const column = this.columns?.find(({ status }) => status === card.status);
    const before = column?.rows[column.rows.findIndex(({ id }) => id === card.id) - 1]?.id ?? null;
    const from = card.status as IssueStatus;
    const move: Move = { card, to, after };
    const ws = this.#variables.ws;
    this.#moves = [...this.#moves, move];
    const send = async () => {
      const answer = await change(IssueMove, { ws, input: { id: card.id, ...(to === from ? {} : { status: to }), ...(after === undefined ? {} : { after }) } });
      const back = answer.moveIssue;
      if (!back || (to !== from && !back.nextStatuses.includes(from))) return undefined;
      return () => this.move(back, from, before);
    };
    const says = to === from ? texts.issues.reordered(card.identifier ?? "") : texts.issues.moved(card.identifier ?? "", texts.issues.statuses[to]);
    const done = await attempt(texts.issues.move, send, says);
    if (done) await this.refresh();
    this.#moves = this.#moves.filter((one) => one !== move);
    return done;
  }
}

function columnsOf(data: Record<(typeof COLUMNS)[number], { nodes: readonly Card[]; totalCount: number; pageInfo: { hasNextPage: boolean; endCursor: string | null } } | null>): Column[] {
  return COLUMNS.map((status) => {
    const page = data[status];
    return { status, rows: page?.nodes ?? [], total: page?.totalCount ?? 0, next: page?.pageInfo.hasNextPage ? page.pageInfo.endCursor : null };
  });
}

function moved(columns: readonly Column[], { card, to, after }: Move): readonly Column[] {
  return columns.map((column) => {
    const without = column.rows.filter(({ id }) => id !== card.id);
    const total = column.total - (column.rows.length - without.length);
    if (column.status !== to) return { ...column, rows: without, total };
    const place = after === null ? 0 : after === undefined ? without.findIndex(({ rank }) => rank > card.rank) : without.findIndex(({ id }) => id === after) + 1;
    return { ...column, rows: without.toSpliced(place < 0 ? without.length : place, 0, { ...card, status: to }), total: total + 1 };
  });
}
