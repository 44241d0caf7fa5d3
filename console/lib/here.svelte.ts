import { getContext, setContext } from "svelte";
import type { Role, ShellQuery } from "../generated/types";
import { hearing } from "./echo";
import { noneFresh } from "./fresh";

const KEY = Symbol("here");
type Operation = NonNullable<ShellQuery["viewerOperations"]>[number];

/** Who looks, and where; and what happens there. */
export class Here {
  viewer = $state.raw<NonNullable<ShellQuery["viewer"]>>();
  workspace = $state.raw<NonNullable<ShellQuery["workspace"]>>();
  /** How much needs the viewer: in the title, and beside Now. */
  waiting = $state(0);
  #operations = $state.raw<ReadonlyMap<string, Operation>>(new Map());
  #listeners = new Set<(type: string) => void>();

  constructor(readonly slug: string) {}

  get role(): Role | undefined {
    return this.workspace?.currentUserRole ?? undefined;
  }

  set operations(given: readonly Operation[]) {
    this.#operations = new Map(given.map((one) => [one.name, one]));
  }

  /** Whether the viewer may call this field of Query or Mutation. */
  may(operation: string): boolean {
    return this.#operations.get(operation)?.may ?? false;
  }

  /** The role or the capability that it needs. */
  requires(operation: string): string | undefined {
    const needed = this.#operations.get(operation)?.requires;
    return (needed?.role ?? needed?.capability)?.toLowerCase();
  }

  happened(type: string, mutationId?: string | null): void {
    noneFresh();
    hearing(mutationId, () => this.#listeners.forEach((listener) => listener(type)));
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
