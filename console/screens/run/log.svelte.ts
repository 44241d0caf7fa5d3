import { untrack } from "svelte";
import { RunLog } from "../../generated/RunLog";
import type { RunLogQuery } from "../../generated/types";
import { client, reasonOf, type Reason } from "../../lib/client";

type Entry = NonNullable<RunLogQuery["run"]>["log"]["edges"][number]["node"];
/** What stands on one line: pieces of one text are joined. */
export interface Said {
  key: string;
  at: string;
  event: Entry["event"];
  tool: string | null;
  text: string;
}
const AT_ONCE = 1_000; // entries until a person asks for more
const JOINED = new Set<string>(["text", "thinking"]);

/** The log of a run, read to its end, and further whenever something has happened. */
export class Log {
  said = $state.raw<readonly Said[]>([]);
  reason = $state.raw<Reason>();
  /** There is more than is shown. */
  more = $state(false);
  read = $state(false);
  #after: string | undefined;
  #entries = 0;
  #most = AT_ONCE;
  #reading = false;
  #stale = false;

  constructor(
    readonly ws: string,
    readonly id: string,
    happened: () => unknown,
  ) {
    $effect(() => {
      happened();
      untrack(() => void this.#read());
    });
  }

  showMore(): void {
    this.#most += AT_ONCE;
    void this.#read();
  }

  async #read(): Promise<void> {
    this.#stale = true;
    if (this.#reading) return;
    this.#reading = true;
    while (this.#stale && this.#entries < this.#most) {
      this.#stale = false;
      const { data, error } = await client.query(RunLog, { ws: this.ws, id: this.id, after: this.#after }, { requestPolicy: "network-only" }).toPromise();
      this.reason = error ? reasonOf(error) : undefined;
      const page = data?.run?.log;
      if (!page) break;
      for (const { cursor, node } of page.edges) this.#take(cursor, node);
      this.said = [...this.#lines];
      this.#after = page.edges.at(-1)?.cursor ?? this.#after;
      this.more = page.pageInfo.hasNextPage;
      this.#stale ||= this.more;
      this.read = true;
    }
    this.#reading = false;
  }

  #lines: Said[] = [];

  #take(key: string, { ts, event, content, tool }: Entry): void {
    this.#entries++;
    const last = this.#lines.at(-1);
    if (last?.event === event && JOINED.has(event)) this.#lines[this.#lines.length - 1] = { ...last, text: last.text + content };
    else if (content || tool) this.#lines.push({ key, at: ts, event, tool, text: content === tool ? "" : content });
  }
}
