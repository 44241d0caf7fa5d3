import { untrack } from "svelte";
import { ChatLive } from "../../generated/ChatLive";
import { Conversation as Document } from "../../generated/Conversation";
import { EarlierMessages } from "../../generated/EarlierMessages";
import { NewestMessages } from "../../generated/NewestMessages";
import { ReadChat } from "../../generated/ReadChat";
import { SendToChat } from "../../generated/SendToChat";
import { SteerChat } from "../../generated/SteerChat";
import { StopAnswer } from "../../generated/StopAnswer";
import type { ConversationQuery } from "../../generated/types";
import { change, client, reasonOf, type Reason } from "../../lib/client";
import { follow } from "../../lib/live.svelte";
import { texts } from "../../lib/texts";
import { attach } from "./files";
import type { Past } from "./past.svelte";
import { Turns, type Frame, type Turn } from "./turns.svelte";

type Chat = NonNullable<ConversationQuery["chat"]>;
const BEGUN = "subscribed";
const TOGETHER = 100; // milliseconds for which frames wait where nothing is drawn
const PAUSE = 300; // milliseconds until what is stored of an answer is read

/** A chat that is open: its turns, kept up by frames, and what a person does in it. */
export class Conversation {
  data = $state.raw<Chat>();
  reason = $state.raw<Reason>();
  earlier = $state<string | null>(null);
  trouble = $state("");
  /** Something was answered while the page was open. */
  answered = $state(false);
  uploading = $state.raw<readonly string[]>([]);
  /** The newest stays in sight; otherwise a person reads, and nothing is folded meanwhile. */
  following = $state(true);
  /** Messages far above, shown instead of the newest. */
  past = $state.raw<Past>();
  /** The message that a search has found, and what for. */
  found = $state.raw<{ id: string; text: string }>();
  readonly turns = new Turns((agentId) => (!agentId || agentId === this.data?.agent?.id ? this.data?.agent?.name : undefined) ?? texts.chat.agent);
  #visit = 0;
  #heard: Frame[] = [];
  #stop = () => {};

  constructor(
    readonly ws: string,
    readonly id: string,
    readonly viewer: () => string,
  ) {
    $effect(() => {
      untrack(() => void this.#load());
      return () => {
        this.#visit++;
        this.#stop();
      };
    });
  }

  refresh(): void {
    void this.#load();
  }

  /** Reads the history, then everything that is numbered behind it. */
  async #load(): Promise<void> {
    const visit = ++this.#visit;
    this.#stop();
    this.#heard = [];
    const { data, error } = await client.query(Document, { id: this.id }, { requestPolicy: "network-only" }).toPromise();
    if (visit !== this.#visit) return;
    if (!data?.chat) {
      this.reason = error ? reasonOf(error) : { kind: "missing", message: "", fields: {} };
      return;
    }
    const { messages, live, lastSeq } = data.chat;
    this.reason = undefined;
    this.data = data.chat;
    this.earlier = messages.pageInfo.hasPreviousPage ? messages.pageInfo.startCursor : null;
    this.turns.load(messages.nodes, { lastSeq, running: live.nodes[0] });
    this.#markRead();
    this.#stop = follow(ChatLive, { chat: this.id, afterSeq: this.turns.lastSeq }, (event) => this.#hear(event), (reason) => reason !== BEGUN && void this.#load());
  }

  #hear(event: { __typename: string }): void {
    if (event.__typename.startsWith("Reaction")) void this.adopt();
    if (event.__typename === "SteeringQueuedEvent") this.turns.queued((event as unknown as { content: string }).content);
    if (event.__typename !== "RunBegin" && event.__typename !== "ChatFrame") return;
    // Many frames come in the time in which a page is drawn once.
    if (this.#heard.push(event as Frame) > 1) return;
    let taken = false;
    const take = () => {
      if (taken) return;
      taken = true;
      this.#take(this.#heard.splice(0));
    };
    requestAnimationFrame(take);
    setTimeout(take, TOGETHER); // a tab that nobody sees draws nothing
  }

  #take(frames: readonly Frame[]): void {
    for (const frame of frames) {
      const outcome = this.turns.apply(frame);
      if (outcome === "gap") return void this.#load();
      if (outcome === "end") this.#ended();
    }
  }

  #ended(): void {
    this.answered = true;
    this.#markRead();
    const visit = this.#visit;
    setTimeout(() => visit === this.#visit && void this.adopt(), PAUSE);
  }

  /** What is stored of the newest turns. */
  async adopt(): Promise<void> {
    const { data } = await client.query(NewestMessages, { id: this.id }, { requestPolicy: "network-only" }).toPromise();
    if (!data?.chat) return;
    this.turns.adopt(data.chat.messages.nodes);
    if (this.data) this.data = { ...this.data, title: data.chat.title, attachments: data.chat.attachments };
  }

  async readEarlier(): Promise<void> {
    const before = this.earlier;
    const { data, error } = await client.query(EarlierMessages, { id: this.id, before }, { requestPolicy: "network-only" }).toPromise();
    if (before !== this.earlier) return;
    if (!data?.chat) return void (this.trouble = error ? reasonOf(error).message : "");
    const { nodes, pageInfo } = data.chat.messages;
    this.turns.before(nodes);
    this.earlier = pageInfo.hasPreviousPage ? pageInfo.startCursor : null;
  }

  /** The beginning of a long turn. */
  async readSteps(turn: Turn): Promise<void> {
    try {
      const { stepsOf } = await import("./past.svelte");
      turn.opened = true;
      this.trouble = await stepsOf(this, turn);
    } catch (error) {
      this.trouble = reasonOf(error as Error).message;
    }
  }

  /** Sends a message, or queues it while the agent works. Returns whether the server took it. */
  async send(text: string): Promise<boolean> {
    this.trouble = "";
    const expected = this.turns.running ? undefined : this.turns.expect(text, this.viewer());
    try {
      if (expected) await change(SendToChat, { chat: this.id, content: text });
      else await change(SteerChat, { chat: this.id, message: text });
      return true;
    } catch (error) {
      if (expected?.state === "waiting") this.turns.withdraw(expected);
      this.trouble = reasonOf(error as Error).message;
      return false;
    }
  }

  /** Files for the agent, one after the other. */
  async attach(workspace: string, files: readonly File[]): Promise<void> {
    if (!this.data?.agent) return;
    for (const file of files) {
      this.uploading = [...this.uploading, file.name];
      try {
        await attach(workspace, this.data.agent.id, this.id, file);
      } catch (error) {
        this.trouble = texts.states.failed(file.name, (error as Error).message);
      }
      await this.adopt();
      this.uploading = this.uploading.filter((name) => name !== file.name);
    }
  }

  async stop(): Promise<void> {
    try {
      const { cancelMessage } = await change(StopAnswer, { chat: this.id });
      if (!cancelMessage?.cancelled && this.turns.running) this.trouble = texts.chat.notYours;
    } catch (error) {
      this.trouble = reasonOf(error as Error).message;
    }
  }

  #markRead(): void {
    // Of no matter to the conversation: what cannot be marked stays unread.
    if (this.data?.agent) change(ReadChat, { ws: this.ws, agent: this.data.agent.id, chat: this.id }).catch(() => {});
  }
}
