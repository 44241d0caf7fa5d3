import { TerminalToken } from "../../generated/TerminalToken";
import { client } from "../../lib/client";
import { texts } from "../../lib/texts";
import type { Xterm } from "./xterm";

/** Where a shell is opened: in the folder of an agent, else in that of the crew. */
export interface Place {
  crew: string;
  agent?: string;
}

const LARGEST = 1000; // rows or columns
const NO_SANDBOX = 4503;
const encoder = new TextEncoder();
const within = ({ rows, cols }: { rows: number; cols: number }) => ({ rows: Math.min(rows, LARGEST), cols: Math.min(cols, LARGEST) });

/** The socket behind a terminal, if it is open, and what the server says beside the shell. */
export class Session {
  state = $state<"opening" | "open" | "ended">("opening");
  why = $state("");
  news = $state("");
  #socket: WebSocket | undefined;
  #early: (string | Uint8Array<ArrayBuffer>)[] = []; // typed before anything took it
  #told = ""; // the last word of the server about an error

  constructor(
    readonly terminal: Xterm,
    readonly place: Place,
  ) {
    terminal.onData((text) => this.type(text));
    terminal.onBinary((text) => this.#send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    terminal.onResize((size) => this.#say({ type: "resize", ...within(size) }));
  }

  async open(): Promise<void> {
    this.state = "opening";
    this.why = this.news = this.#told = "";
    this.#early = [];
    this.terminal.focus();
    const { data, error } = await client.query(TerminalToken, {}, { requestPolicy: "network-only" }).toPromise();
    const token = data?.wsToken?.token;
    if (!token) return this.#end(error?.graphQLErrors[0]?.message ?? texts.terminal.unreachable);
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/terminal`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let shown = false;
    socket.onopen = () => {
      this.state = "open";
      this.#say({ type: "auth", token });
      this.#say({ mode: "shell", crew_id: this.place.crew, agent_slug: this.place.agent, ...within(this.terminal) });
      for (const frame of this.#early.splice(0)) this.#send(frame);
    };
    socket.onmessage = ({ data: said }) => {
      if (!(said instanceof ArrayBuffer)) return this.#hear(JSON.parse(said as string));
      if (!shown) this.terminal.reset(); // until then the last one can be read
      shown = true;
      this.terminal.write(new Uint8Array(said));
    };
    socket.onclose = ({ code }) => this.#socket === socket && this.#end(this.#reason(code, shown));
  }

  type(text: string): void {
    this.#send(encoder.encode(text));
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  #hear({ type, message }: { type: string; message: string }): void {
    if (type === "error") this.#told = message;
    else this.news = message;
  }

  #end(why: string): void {
    this.#socket = undefined;
    this.news = "";
    this.why = why;
    this.state = "ended";
  }

  #reason(code: number, shown: boolean): string {
    const known = (texts.terminal.why as Record<number, string>)[code];
    if (known) return known;
    if (code === NO_SANDBOX) return texts.terminal.noSandbox(this.#told);
    if (this.#told) return texts.terminal.notOpened(this.#told);
    if (code === 1000) return texts.terminal.left;
    return shown ? texts.terminal.lost : texts.terminal.cannot;
  }

  #say(message: object): void {
    this.#send(JSON.stringify(message));
  }

  #send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
    else if (this.state === "opening" && typeof frame !== "string") this.#early.push(frame);
  }
}
