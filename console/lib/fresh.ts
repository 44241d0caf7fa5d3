import { connection } from "./live.svelte";

/** What was read for a screen before it is shown, and when it was asked for: it needs no second reading until something happens. */
const read = new Map<string, number>();
const LASTS = 5_000; // milliseconds

const keyOf = (documentId: string, variables: object): string => documentId + JSON.stringify(variables);

export const freshFrom = (documentId: string, variables: object): number | undefined => {
  const at = read.get(keyOf(documentId, variables));
  // Where the events begin, all is read anew; without them nobody says that something has changed.
  const told = connection.state === "live" || connection.state === "starting";
  return at !== undefined && told && performance.now() - at < LASTS ? at : undefined;
};

export const nowFresh = (documentId: string, variables: object, asked: number): void => void read.set(keyOf(documentId, variables), asked);
export const noneFresh = (): void => read.clear();
