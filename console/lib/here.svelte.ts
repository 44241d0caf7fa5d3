import { getContext, setContext } from "svelte";
import type { Role, ShellQuery } from "../generated/types";

const KEY = Symbol("here");

/** Who looks, and where; and what happens there. */
export class Here {
  viewer = $state.raw<NonNullable<ShellQuery["viewer"]>>();
  workspace = $state.raw<NonNullable<ShellQuery["workspace"]>>();
  /** How much needs the viewer: in the title, and beside Now. */
  waiting = $state(0);
  /** The fields of Mutation that the viewer may call. */
  #may = $state.raw<ReadonlySet<string>>(new Set());
  #listeners = new Set<(type: string) => void>();

  constructor(readonly slug: string) {}

  get role(): Role | undefined {
    return this.workspace?.currentUserRole ?? undefined;
  }

  set operations(given: NonNullable<ShellQuery["viewerOperations"]>) {
    this.#may = new Set(given.filter(({ may }) => may).map(({ name }) => name));
  }

  may(operation: string): boolean {
    return this.#may.has(operation);
  }

  happened(type: string): void {
    for (const listener of this.#listeners) listener(type);
  }

  /** Calls back while a component is shown, for events whose type begins with one of these words. */
  on(words: readonly string[], hear: () => void): void {
    $effect(() => {
      const listener = (type: string) => words.some((word) => type.startsWith(word)) && hear();
      this.#listeners.add(listener);
      return () => void this.#listeners.delete(listener);
    });
  }
}

export const placeHere = (here: Here): Here => setContext(KEY, here);
export const here = (): Here => getContext<Here>(KEY);
