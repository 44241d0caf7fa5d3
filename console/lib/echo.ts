/** This tab's own mutations, by the ids that their events repeat, with the moment at which each was answered. */
const own = new Map<string, number>();
const KEPT = 200;
let heard = "";

export function newMutationId(): string {
  // randomUUID needs TLS; a console in a local network may have none
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  own.set(id, Infinity);
  if (own.size > KEPT) own.delete(own.keys().next().value!);
  return id;
}

export const answered = (mutationId: string): void => void (own.has(mutationId) && own.set(mutationId, performance.now()));

/** Calls back within an event: what is to be read because of it may know the change already. */
export function hearing(mutationId: string | null | undefined, hear: () => void): void {
  heard = mutationId ?? "";
  hear();
  heard = "";
}

/** The mutation whose event is being heard. */
export const cause = (): string => heard;

/** Whether what was asked for at this moment contains the change: it was made here, and answered before. */
export const contains = (asked: number, mutationId: string): boolean => (own.get(mutationId) ?? Infinity) <= asked;
