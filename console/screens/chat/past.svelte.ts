import { EarlierSteps } from "../../generated/EarlierSteps";
import { MessagesFrom } from "../../generated/MessagesFrom";
import { MessagesUntil } from "../../generated/MessagesUntil";
import { WholeTurn } from "../../generated/WholeTurn";
import { client, reasonOf } from "../../lib/client";
import type { Conversation } from "./conversation.svelte";
import { Turns, type LogEntry, type Turn } from "./turns.svelte";

const FRESH = { requestPolicy: "network-only" } as const;
const MOST_PAGES = 40; // of frames: 20,000

/** Messages around one that is not among the newest. */
export class Past {
  readonly turns: Turns;
  earlier = $state(false);
  later = $state(false);

  private constructor(readonly chat: Conversation) {
    this.turns = new Turns(chat.turns.nameOf);
  }

  static async around(chat: Conversation, seq: number): Promise<Past> {
    const past = new Past(chat);
    await past.readEarlier(seq);
    await past.readLater(seq + 1);
    return past;
  }

  async readEarlier(seq = (this.turns.list[0]?.message?.seq ?? 1) - 1): Promise<void> {
    const { data, error } = await client.query(MessagesUntil, { chat: this.chat.id, seq }, FRESH).toPromise();
    if (!data?.findMessages) throw error ?? new Error();
    this.turns.before(data.findMessages.nodes.toReversed());
    this.earlier = data.findMessages.pageInfo.hasNextPage;
  }

  async readLater(seq = (this.turns.list.at(-1)?.message?.seq ?? 0) + 1): Promise<void> {
    const { data, error } = await client.query(MessagesFrom, { chat: this.chat.id, seq }, FRESH).toPromise();
    if (!data?.findMessages) throw error ?? new Error();
    this.turns.after(data.findMessages.nodes);
    this.later = data.findMessages.pageInfo.hasNextPage;
  }
}

/** Reads the beginning of a turn. Returns why it cannot. */
export async function stepsOf(chat: Conversation, turn: Turn): Promise<string> {
  const { unread, message } = turn;
  if (!unread) return "";
  const apart = new Turns(chat.turns.nameOf);
  if (unread.before === undefined) {
    const { data, error } = await client.query(WholeTurn, { chat: chat.id, seq: message!.seq }, FRESH).toPromise();
    const whole = data?.findMessages?.nodes[0];
    if (!whole) return error ? reasonOf(error).message : "";
    turn.parts = [];
    chat.turns.complete(turn, apart.partsOf({ ...message!, parts: whole.parts as unknown }));
    return "";
  }
  const entries: LogEntry[] = [];
  let after: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { data, error } = (await client.query(EarlierSteps, { ws: chat.ws, run: turn.runId, after }, FRESH).toPromise()) as { data?: { run?: { log: { nodes: readonly LogEntry[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } } | null }; error?: Error };
    const log = data?.run?.log;
    if (!log) return error ? reasonOf(error).message : "";
    entries.push(...log.nodes.filter(({ seq }) => seq < unread.before!));
    after = log.pageInfo.endCursor;
    if (!log.pageInfo.hasNextPage || log.nodes.at(-1)!.seq >= unread.before) break;
  }
  if (turn.unread === unread) chat.turns.complete(turn, apart.replay(entries));
  return "";
}
