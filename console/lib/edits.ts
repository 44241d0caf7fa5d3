import { getContext, setContext } from "svelte";

const KEY = Symbol("edits");

/** The version of the row that is shown. What is changed in place is sent with the version that a person has begun from. */
export interface Edits {
  version: () => number | undefined;
  /** Reads the row anew. */
  again: () => void;
  /** The version for the change that is sent now. */
  based?: number;
}

export const placeEdits = (edits: Edits): Edits => setContext(KEY, edits);
export const edits = (): Edits | undefined => getContext<Edits | undefined>(KEY);
