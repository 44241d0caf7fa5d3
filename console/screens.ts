import type { Screen } from "./lib/router.svelte";

export interface Listed extends Screen {
  title: string;
  /** A key that leads there after "g", and the drawing of its icon. */
  letter?: string;
  icon?: string;
}

/** In the order of the navigation. */
export const SCREENS: readonly Listed[] = [];
