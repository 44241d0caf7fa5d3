/**
 * GraphQL subscriptions over one WebSocket (protocol graphql-transport-ws). A socket that breaks is replaced, later and later each
 * time; the subscriptions go on, because their variables are asked for anew and may name the place behind the last event.
 */
const PROTOCOL = "graphql-transport-ws";
const LONGEST_PAUSE = 15_000; // milliseconds
const ANSWER_WITHIN = 10_000;
const DENIED = new Set([4401, 4403]);

export class Live {
  #subscriptions = new Map();
  #socket = null;
  #ready = false;
  #failures = 0;
  #timer = 0;
  #lastId = 0;

  /** `onState` is told "live", "waiting" (for the next try) or "denied" (of this user or page nothing is taken; no further try is made). */
  constructor(url, onState = () => {}) {
    this.url = url;
    this.onState = onState;
    // a machine that wakes up need not wait for the next try
    globalThis.addEventListener?.("online", () => this.#retryNow());
    globalThis.document?.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#retryNow());
  }

  /** `variables` is called for each socket. `next` gets the data of an event, `failed` the errors of a subscription that is refused. */
  subscribe(query, variables, next, failed = () => {}) {
    const id = String((this.#lastId += 1));
    const subscription = { query, variables, next, failed };
    this.#subscriptions.set(id, subscription);
    if (this.#ready) this.#begin(id, subscription);
    else this.#open();
    return () => {
      if (this.#subscriptions.delete(id) && this.#ready) this.#send({ type: "complete", id });
    };
  }

  /** Begins before there is anything to follow, so that what follows need not wait for a socket. */
  begin() {
    this.#open();
  }

  close() {
    this.#subscriptions.clear();
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#socket = null;
    this.#ready = false;
  }

  #open() {
    if (this.#socket !== null) return;
    clearTimeout(this.#timer);
    const socket = (this.#socket = new WebSocket(this.url, PROTOCOL));
    const patience = setTimeout(() => socket.close(), ANSWER_WITHIN);
    socket.onopen = () => this.#send({ type: "connection_init" });
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      const message = JSON.parse(data);
      if (message.type === "connection_ack") clearTimeout(patience);
      this.#receive(message);
    };
    socket.onclose = ({ code }) => {
      clearTimeout(patience);
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#ready = false;
      if (DENIED.has(code)) this.onState("denied");
      else if (this.#subscriptions.size) this.#retryLater();
    };
  }

  #receive({ type, id, payload }) {
    const subscription = this.#subscriptions.get(id);
    if (type === "connection_ack") {
      this.#ready = true;
      this.#failures = 0;
      for (const [known, waiting] of this.#subscriptions) this.#begin(known, waiting);
      this.onState("live");
    } else if (type === "ping") {
      this.#send({ type: "pong" });
    } else if (type === "next" && subscription) {
      if (payload.data) subscription.next(payload.data);
      else subscription.failed(payload.errors);
    } else if ((type === "error" || type === "complete") && subscription) {
      this.#subscriptions.delete(id);
      subscription.failed(type === "error" ? payload : []);
    }
  }

  #begin(id, { query, variables }) {
    this.#send({ type: "subscribe", id, payload: { query, variables: variables() } });
  }

  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  #retryLater() {
    this.onState("waiting");
    const pause = Math.min(LONGEST_PAUSE, 250 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#open(), pause);
  }

  #retryNow() {
    if (this.#subscriptions.size && this.#socket === null) this.#open();
  }
}
