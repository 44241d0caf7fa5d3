const SHOWN = 8_000; // milliseconds

export interface Notice {
  id: number;
  text: string;
  bad: boolean;
  undo?: () => void;
}

class Notices {
  all = $state.raw<Notice[]>([]);
  #last = 0;

  say(text: string, { bad = false, undo }: { bad?: boolean; undo?: () => void } = {}): void {
    const id = ++this.#last;
    this.all = [...this.all.slice(-2), { id, text, bad, undo }];
    setTimeout(() => this.close(id), SHOWN);
  }

  close(id: number): void {
    this.all = this.all.filter((one) => one.id !== id);
  }

  /** Takes back what was done last, where it can be. */
  undo(): boolean {
    const last = this.all.findLast((one) => one.undo);
    if (!last) return false;
    this.close(last.id);
    last.undo!();
    return true;
  }
}

export const notices = new Notices();
