import type { Known } from "./document";
import type { Screen } from "./router.svelte";

export interface Listed extends Screen {
  title: string;
  /** The entry of the navigation that it belongs to: the first word of its path. */
  section: string;
  /** A key that leads there after "g", and the drawing of its icon. */
  letter?: string;
  icon?: string;
}

/** Where it is, what it is called, its code, and its document. */
export const screen = (path: string, title: string, load: Screen["load"], document: unknown, more: Partial<Listed> = {}): Listed => ({
  path,
  title,
  section: path.split("/")[0]!,
  load,
  document: document as Known<unknown, never>,
  ...more,
});
