import { keys } from "./keys.svelte";
import { texts } from "./texts";

/** The chosen row of a list: j and k move, Enter opens. Pass `at` to VirtualList, or mark the row yourself. */
export class Chosen<Row> {
  at = $state(-1);
  #rows: () => readonly Row[];

  constructor(rows: () => readonly Row[], open: (row: Row) => void) {
    this.#rows = rows;
    keys([
      { keys: "j", does: texts.keys.next, run: () => this.#move(1) },
      { keys: "k", does: texts.keys.previous, run: () => this.#move(-1) },
      { keys: "Enter", does: texts.keys.open, run: () => this.row !== undefined && open(this.row) },
    ]);
  }

  get rows(): readonly Row[] {
    return this.#rows();
  }

  get row(): Row | undefined {
    return this.#rows()[this.at];
  }

  #move(step: number): void {
    this.at = Math.max(0, Math.min(this.at + step, this.#rows().length - 1));
  }
}
