import type { Client } from "graphql-ws";
import type { Known } from "./document";

const LONGEST_PAUSE = 10_000; // milliseconds between two tries
const FIRST_PAUSE = 250;
const QUIET = 1_500; // how long a connection may be gone before the page says so
/** Codes of refusals that end by themselves, and of those that a person is told elsewhere. */
const PASSING = new Set(["RATE_LIMITED", "UNAVAILABLE"]);
const HIDDEN = new Set(["FORBIDDEN", "NOT_FOUND", "UNAUTHENTICATED"]);
const DENIED = new Set([4401, 4403]);

/** Whether what is shown is kept up. `restored` counts the times that something may have been missed. */
class Connection {
  state = $state<"starting" | "live" | "lost" | "denied">("starting");
  restored = $state(0);
  #timer: ReturnType<typeof setTimeout> | undefined;

  up(): void {
    // What was read meanwhile may have had no answer.
    if (this.#timer) this.restored++;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.state = "live";
  }

  down(denied: boolean): void {
    if (denied) this.state = "denied";
    else this.#timer ??= setTimeout(() => (this.state = "lost"), QUIET);
  }
}

export const connection = new Connection();
let socket: Promise<Client> | undefined;
const waiting = new Set<() => unknown>();

/** No screen waits for its code: what is shown was read before it is kept up. */
function socketOf(): Promise<Client> {
  socket ??= import("graphql-ws").then(({ createClient }) =>
    createClient({
      url: `${location.origin.replace(/^http/, "ws")}/graphql`,
      retryAttempts: 0,
      keepAlive: 12_000,
      lazyCloseTimeout: 3_000,
      on: {
        connected: () => connection.up(),
        closed: (event) => connection.down(DENIED.has((event as CloseEvent).code)),
      },
    }),
  );
  return socket;
}

// A browser without a network does not wait until the socket has noticed, and a machine that wakes up does not wait for the next try.
const retryAll = () => waiting.forEach((retry) => retry());
addEventListener("offline", async () => (await socket)?.terminate());
addEventListener("online", retryAll);
document.addEventListener("visibilitychange", () => document.hidden || retryAll());

interface Positioned {
  __typename: string;
  cursor: string;
}

/**
 * Follows the events of one field. Each new socket begins after the last event that was seen, so none is lost and none comes twice. `onReset` is
 * called where the events begin ("subscribed"), and when some were lost: what was read before has to be read anew. Returns what ends it.
 */
export function follow<Data extends Record<string, unknown>, Variables extends Record<string, unknown>>(
  document: Known<Data, Variables>,
  variables: Omit<Variables, "after">,
  onEvent: (event: NonNullable<Data[keyof Data]>) => void,
  onReset: (reason: string) => void = () => connection.restored++,
): () => void {
  let after = "-";
  let stopped = false;
  let tries = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let dispose = () => {};
  const start = async (): Promise<void> => {
    clearTimeout(timer);
    waiting.delete(start);
    let live: Client;
    try {
      live = await socketOf();
    } catch {
      socket = undefined;
      connection.down(false);
      return again();
    }
    if (stopped) return;
    // The library wants a text; the service goes by the id.
    const payload = { query: "", documentId: document.documentId, variables: { ...variables, after } };
    dispose = live.subscribe<Data>(payload, {
      next: ({ data }) => {
        const event = data && (Object.values(data)[0] as Positioned | null);
        if (!event) return;
        tries = 0;
        after = event.cursor || after;
        if (event.__typename !== "StreamReset") onEvent(event as unknown as NonNullable<Data[keyof Data]>);
        else onReset((event as Positioned & { reason?: string }).reason ?? "");
      },
      error: failed,
      complete: again,
    });
  };
  const again = (): void => {
    if (stopped || connection.state === "denied") return;
    waiting.add(start);
    timer = setTimeout(start, Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** tries++) * (0.5 + Math.random() / 2));
  };
  // A request that the server has refused is refused again; a connection that is lost comes back.
  const failed = (error: unknown): void => {
    const refusals = Array.isArray(error) ? (error as { message: string; extensions?: { code?: string } }[]) : [];
    if (refusals.length === 0 || refusals.some(({ extensions }) => PASSING.has(extensions?.code ?? ""))) return again();
    if (!refusals.some(({ extensions }) => HIDDEN.has(extensions?.code ?? ""))) reportError(new Error(refusals.map(({ message }) => message).join("\n")));
  };
  void start();
  return () => {
    stopped = true;
    clearTimeout(timer);
    waiting.delete(start);
    dispose();
  };
}
