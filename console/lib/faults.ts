import { getContext, setContext } from "svelte";

/** What the control of a field needs: `<input {...given} bind:value />`. */
export interface Given {
  id: string;
  name: string;
  "aria-invalid"?: "true";
  "aria-describedby"?: string;
}

const KEY = Symbol("faults");

interface Faults {
  of: (name: string) => string | undefined;
  shown: Set<string>;
}

/** What is wrong with the fields of a form, by their names in the input. Returns the names that a field shows. */
export function placeFaults(of: Faults["of"]): ReadonlySet<string> {
  const shown = new Set<string>();
  setContext<Faults>(KEY, { of, shown });
  return shown;
}

/** The fault of a field. */
export function faultOf(name: () => string): () => string | undefined {
  const faults = getContext<Faults | undefined>(KEY);
  return () => {
    faults?.shown.add(name());
    return faults?.of(name());
  };
}
