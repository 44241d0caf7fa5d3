import type { ChatMessageFragment, ChatRunFragment, ConversationQuery, LogFrameFragment } from "../../generated/types";
import { texts } from "../../lib/texts";

export type Kind = "text" | "thinking" | "tool" | "image" | "error" | "line" | "approval";
export type Data = Record<string, unknown>;
/** As it came: nobody has looked yet whether it is one. */
export interface Image {
  type: string;
  data: string;
}
/** The beginning of a long turn, which the server has: in the stored message, or in the log of the run before a frame. */
export interface Unread {
  parts: number;
  calls: number;
  before?: number;
}
export type LiveRun = NonNullable<ConversationQuery["chat"]>["live"]["nodes"][number];
export type LogEntry = LogFrameFragment;

/** What a turn consists of. A tool call takes its result later; text grows. */
export class Part {
  text = $state("");
  state = $state<"running" | "done" | "failed" | "stopped">("done");
  output = $state.raw<string>();
  ended = $state<string>();
  /** Images that a tool returned: their types and contents. */
  images = $state.raw<readonly Image[]>([]);
  /** The frame that began it. */
  seq = 0;
  /** Of a stored tool call: the run that has its times, and its place among the calls of its tool there. */
  place?: { run: string; at: number };

  constructor(
    readonly key: number,
    readonly kind: Kind,
    text = "",
    readonly name = "",
    readonly toolId = "",
    readonly input: unknown = undefined,
    readonly began: string | null = null,
  ) {
    this.text = text;
  }

  get tookMs(): number | undefined {
    return this.began && this.ended ? Math.max(0, Date.parse(this.ended) - Date.parse(this.began)) : undefined;
  }
}

/** What one side has said: a message, or an answer that grows. */
export class Turn {
  message = $state.raw<ChatMessageFragment>();
  parts = $state.raw<readonly Part[]>([]);
  state = $state<"waiting" | "running" | "done">("done");
  status = $state("");
  model = $state("");
  result = $state.raw<Data>();
  stopped = $state(false);
  run = $state.raw<ChatRunFragment>();
  /** Why nothing was answered. */
  failure = $state.raw<ChatRunFragment>();
  /** Its steps are shown: none of them is given up. */
  opened = false;
  unread = $state.raw<Unread>();
  /** Results of calls that are not read. */
  loose: Data[] = [];
  runId = "";
  at = $state<string>();

  constructor(
    readonly key: string,
    readonly who: "user" | "agent" | "notice",
    readonly author: string | null = null,
    readonly name: string | null = null,
  ) {}

  get words(): string {
    return this.parts.filter(({ kind }) => kind === "text").map(({ text }) => text).join("\n\n");
  }

  add(part: Part): void {
    this.parts = [...this.parts, part];
  }
}

/** An event of the chat, as the console asks for it. */
export type Frame =
  | { __typename: "RunBegin"; begin: number | null; agentId: string | null; runId: string | null; createdAt: string | null }
  | { __typename: "ChatFrame"; seq: number | null; type: string; content: string; metadata: unknown; createdAt: string | null };

interface Begun {
  lastSeq: number;
  running: LiveRun | undefined;
}

const MOST = 600; // parts of a turn that are kept while it grows
const KEPT = 300;

const FAILED = new Set<string>(["FAILED", "TIMEOUT"]);

const words = (value: unknown): string => (typeof value === "string" ? value : "");
const said = (name: string): string => name.replaceAll("_", " ");

/**
 * What happened in a chat, as turns: from its stored messages first, then frame by frame. Frames are numbered: each counts once, and a gap is told.
 * A frame of a kind that is not known here is a quiet line: the server may be newer than the page.
 */
export class Turns {
  list = $state.raw<readonly Turn[]>([]);
  running = $state(false);
  lastSeq = 0;
  #current: Turn | undefined;
  #speaker: string | null = null;
  #run = "";
  #keys = 0;

  constructor(readonly nameOf: (agentId: string | null) => string) {}

  /** Turns that are shown already stay the same ones, so that nobody clicks on what is just drawn anew. */
  load(messages: readonly ChatMessageFragment[], { lastSeq, running }: Begun): void {
    this.#match(messages);
    const shown = new Map(this.list.map((turn) => [turn.message?.id, turn]));
    this.list = messages.map((one) => shown.get(one.id) ?? this.#stored(one));
    this.#current = undefined;
    this.running = running !== undefined;
    this.lastSeq = running?.fromSeq ?? lastSeq;
    if (running?.log.pageInfo.hasPreviousPage) this.#resume(running);
    else {
      const last = this.list.findLast(({ who }) => who === "user");
      if (running && last && last.author === running.triggeredBy) last.state = "waiting"; // its frame comes again
    }
    this.#measure();
  }

  /** Of a long turn that began before the page was opened, the newest frames come again; the rest is in the log of its run. */
  #resume({ id, agentId, log, spans, startedAt }: LiveRun): void {
    this.#speaker = agentId;
    this.#run = id;
    const before = log.nodes[0]!.seq;
    const again = log.nodes.filter(({ event }) => event === "tool_call").length;
    this.#turn(startedAt).unread = { parts: 0, calls: Math.max(0, spans.totalCount - again), before };
    this.lastSeq = before - 1;
  }

  replay(entries: readonly LogEntry[]): readonly Part[] {
    if (entries[0]) this.#turn(entries[0].ts).opened = true;
    for (const { seq, event, content, metadata, ts } of entries) {
      this.lastSeq = seq;
      this.#take(event, content, (metadata ?? {}) as Data, ts);
    }
    return this.#current?.parts ?? [];
  }

  /** The beginning of a turn, read when a person asked for it. */
  complete(turn: Turn, earlier: readonly Part[]): void {
    for (const data of turn.loose) {
      const call = earlier.find(({ toolId }) => toolId === words(data.tool_use_id));
      if (call) finish(call, words(data.content), data, words(data.at) || null);
    }
    const [last, first] = [earlier.at(-1), turn.parts[0]];
    const joins = last && first && last.kind === first.kind && (last.kind === "text" || last.kind === "thinking");
    if (joins) first.text = last.text + first.text;
    turn.parts = [...(joins ? earlier.slice(0, -1) : earlier), ...turn.parts];
    turn.unread = undefined;
    turn.loose = [];
  }

  partsOf(message: ChatMessageFragment): readonly Part[] {
    return this.#stored(message).parts;
  }

  before(messages: readonly ChatMessageFragment[]): void {
    this.list = [...messages.map((one) => this.#stored(one)), ...this.list];
    this.#measure();
  }

  after(messages: readonly ChatMessageFragment[]): void {
    this.list = [...this.list, ...messages.map((one) => this.#stored(one))];
    this.#measure();
  }

  /** A message on its way: shown before the server has it. */
  expect(text: string, author: string): Turn {
    const turn = this.#user(text, author, null, new Date().toISOString());
    turn.state = "waiting";
    return turn;
  }

  withdraw(turn: Turn): void {
    this.list = this.list.filter((one) => one !== turn);
  }

  /** Turns that came as frames get what is stored of them: their ids. */
  adopt(messages: readonly ChatMessageFragment[]): void {
    this.#match(messages);
    this.#measure();
  }

  #match(messages: readonly ChatMessageFragment[]): void {
    const taken = new Set(this.list.map(({ message }) => message?.id));
    let at = messages.length - 1;
    for (const turn of this.list.toReversed()) {
      if (at < 0) return;
      if (turn.message) {
        const found = messages.findLastIndex(({ id }) => id === turn.message!.id);
        if (found < 0) continue;
        turn.message = messages[found];
        at = found - 1;
        continue;
      }
      if (turn.state === "running") continue;
      const found = messages.findLastIndex((one, index) => index <= at && !taken.has(one.id) && (turn.who === "user" ? one.role === "user" && one.content === turn.words : one.role !== "user"));
      if (found < 0) continue;
      turn.message = messages[found];
      at = found - 1;
    }
  }

  /** Says which run made each answer. A run that failed left no answer behind: its message says so. */
  #measure(): void {
    const runs = new Map(this.list.flatMap(({ message }) => (message?.run ? [[message.run.id, message.run] as const] : [])));
    for (const turn of this.list) {
      turn.runId ||= turn.message?.run?.id ?? "";
      turn.run = runs.get(turn.runId);
    }
    for (const [at, turn] of this.list.entries()) {
      turn.failure = turn.who === "user" && turn.run && FAILED.has(turn.run.status) && this.list[at + 1]?.runId !== turn.runId ? turn.run : undefined;
    }
  }

  /** A message for the next turn of the agent. */
  queued(text: string): void {
    this.#user(text, null, null, new Date().toISOString()).status = texts.chat.queued;
  }

  /** "gap": frames before this one are missing. "end": the answer is complete. */
  apply(frame: Frame): "known" | "gap" | "changed" | "end" {
    const seq = frame.__typename === "RunBegin" ? frame.begin : frame.seq;
    if (seq !== null) {
      if (seq <= this.lastSeq) return "known";
      if (seq > this.lastSeq + 1) return "gap";
      this.lastSeq = seq;
    }
    if (frame.__typename === "RunBegin") {
      this.running = true;
      this.#current = undefined;
      this.#speaker = frame.agentId;
      this.#run = frame.runId ?? "";
      return "changed";
    }
    this.#take(frame.type, frame.content, (frame.metadata ?? {}) as Data, frame.createdAt);
    return frame.type === "done" ? "end" : "changed";
  }

  #take(type: string, content: string, data: Data, at: string | null): void {
    if (type === "user_message") this.#said(content, words(data.author_user_id) || null, at);
    else if (type === "text" || type === "thinking") this.#grow(type, content, at);
    else if (type === "tool_call") this.#call(content, data, at);
    else if (type === "tool_result") this.#finish(content, data, at);
    else if (type === "image") this.#image({ type: words(data.media_type), data: content }, words(data.tool_use_id), at);
    else if (type === "error" || type === "crew_provisioning") this.#fail(content, at);
    else if (type === "status") this.#turn(at).status = content;
    else if (type === "result") this.#turn(at).result = data;
    else if (type === "done") this.#end(data.no_reply === true);
    else if (type === "system") this.#system(content, data, at);
    else this.#part("line", content || (type === "agent_busy" ? texts.chat.busy : said(type)), "", at);
  }

  #system(content: string, data: Data, at: string | null): void {
    const subtype = words(data.subtype);
    if (subtype === "init") this.#turn(at).model = words(data.model);
    else if (subtype === "api_retry") this.#turn(at).status = retry(data);
    else if (subtype === "approval_requested") this.#part("approval", content, words(data.tool_name), at, words(data.approval_id));
    else this.#part("line", content || said(subtype || "system"), "", at);
  }

  #turn(at: string | null): Turn {
    if (!this.#current) {
      this.#current = new Turn(`live-${++this.#keys}`, "agent", null, this.nameOf(this.#speaker));
      this.#current.state = "running";
      this.#current.runId = this.#run;
      this.#current.at = at ?? undefined;
      this.list = [...this.list, this.#current];
    }
    return this.#current;
  }

  #part(kind: Kind, text: string, name: string, at: string | null, id = "", input?: unknown): Part {
    const turn = this.#turn(at);
    turn.status = "";
    const part = new Part(++this.#keys, kind, text, name, id, input, at);
    part.seq = this.lastSeq;
    turn.add(part);
    if (turn.parts.length > MOST && !turn.opened) this.#giveUp(turn);
    return part;
  }

  /** An hour of work does not fill the memory of the browser: its beginning is read again when a person asks for it. */
  #giveUp(turn: Turn): void {
    const from = turn.parts.length - KEPT;
    const gone = turn.parts.slice(0, from);
    const { parts = 0, calls = 0 } = turn.unread ?? {};
    turn.unread = { parts: parts + gone.length, calls: calls + callsOf(gone), before: turn.parts[from]!.seq };
    turn.parts = turn.parts.slice(from);
  }

  #image(image: Image, id: string, at: string | null): void {
    const call = id && this.#turn(at).parts.find(({ kind, toolId }) => kind === "tool" && toolId === id);
    if (call) call.images = [...call.images, image];
    else this.#part("image", image.data, image.type, at);
  }

  #grow(kind: "text" | "thinking", text: string, at: string | null): void {
    const last = this.#current?.parts.at(-1);
    if (last?.kind !== kind) return void this.#part(kind, text, "", at);
    last.text += text;
    this.#current!.status = "";
  }

  #call(content: string, data: Data, at: string | null): void {
    this.#part("tool", "", words(data.tool_name) || content, at, words(data.tool_id), data.input).state = "running";
  }

  #finish(content: string, data: Data, at: string | null): void {
    const id = words(data.tool_use_id);
    const turn = this.#turn(at);
    const call = turn.parts.findLast(({ kind, toolId }) => kind === "tool" && toolId === id);
    if (!call && turn.unread) return void turn.loose.push({ ...data, content, at });
    finish(call ?? this.#part("tool", "", texts.chat.result, at), content, data, at);
  }

  /** Of two errors in a row the second says less. */
  #fail(text: string, at: string | null): void {
    if (!this.#turn(at).parts.some(({ kind }) => kind === "error")) this.#part("error", text, "", at);
  }

  #said(text: string, author: string | null, at: string | null): void {
    const expected = this.list.find((turn) => turn.state === "waiting" && turn.author === author && turn.words === text);
    if (expected) expected.state = "done";
    else this.#user(text, author, null, at);
  }

  #user(text: string, author: string | null, name: string | null, at: string | null): Turn {
    const turn = new Turn(`live-${++this.#keys}`, "user", author, name);
    turn.add(new Part(++this.#keys, "text", text));
    turn.at = at ?? undefined;
    this.list = [...this.list, turn];
    return turn;
  }

  #end(withoutReply: boolean): void {
    this.running = false;
    const turn = this.#current;
    this.#current = undefined;
    if (!turn) return;
    for (const part of turn.parts) if (part.state === "running") part.state = "stopped";
    // Neither an end of its own nor a failure.
    turn.stopped = !withoutReply && !turn.result && !turn.parts.some(({ kind }) => kind === "error");
    turn.state = "done";
    turn.status = "";
  }

  #stored(message: ChatMessageFragment): Turn {
    const who = message.role === "user" ? "user" : message.role === "system" ? "notice" : "agent";
    const name = message.author ? (message.author.fullName ?? message.author.email) : (message.agent?.name ?? null);
    const turn = new Turn(message.id, who, message.authorUserId, name);
    turn.message = message;
    turn.at = message.createdAt;
    if ((message.metadata as Data | null)?.kind === "queued_steer") turn.status = texts.chat.queued;
    const parts = who === "user" || !Array.isArray(message.parts) ? [{ type: "text", content: message.content }] : (message.parts as Data[]);
    const shown: Part[] = [];
    const more = Math.max(0, message.partCount - parts.length);
    for (const part of parts) this.#storedPart(shown, part, more > 0);
    if (more && who !== "user") turn.unread = { parts: more, calls: 0 };
    const calls = new Map<string, number>();
    for (const part of shown) {
      if (part.kind !== "tool" || !message.run || more) continue;
      const at = calls.get(part.name) ?? 0;
      calls.set(part.name, at + 1);
      part.place = { run: message.run.id, at };
    }
    turn.parts = shown;
    return turn;
  }

  #storedPart(shown: Part[], part: Data, cut: boolean): void {
    const data = (part.metadata ?? {}) as Data;
    const [type, content] = [words(part.type), words(part.content)];
    const id = words(part.tool_id) || words(data.tool_id) || words(data.tool_use_id);
    const key = ++this.#keys;
    if (type === "tool_call") {
      const call = new Part(key, "tool", "", words(part.tool_name) || content, id, data.input);
      call.state = "stopped";
      shown.push(call);
    } else if (type === "tool_result") {
      let call = shown.find(({ kind, toolId }) => kind === "tool" && toolId === id);
      if (!call && cut) return; // of a call that is not read yet; the whole message has both
      if (!call) shown.push((call = new Part(key, "tool", "", texts.chat.result, id)));
      call.output = content;
      call.state = data.is_error ? "failed" : "done";
    } else if (type === "image") {
      const image = { type: words(data.media_type), data: content };
      const call = id && shown.find(({ kind, toolId }) => kind === "tool" && toolId === id);
      if (call) call.images = [...call.images, image];
      else shown.push(new Part(key, "image", content, image.type));
    }
    else shown.push(new Part(key, type === "thinking" || type === "error" ? type : "text", content));
  }
}

export const callsOf = (parts: readonly Part[]): number => parts.filter(({ kind }) => kind === "tool").length;

function finish(call: Part, content: string, data: Data, at: string | null): void {
  call.output = content;
  call.state = data.is_error ? "failed" : "done";
  call.ended = at ?? undefined;
}

function retry({ attempt, max_retries: most, retry_delay_ms: pause, error_status: status }: Data): string {
  const tries = typeof attempt === "number" && typeof most === "number" ? ` (${attempt} of ${most})` : "";
  const within = typeof pause === "number" ? ` in ${Math.max(1, Math.round(pause / 1000))} s` : "";
  return texts.chat.retry(words(status) || (typeof status === "number" ? String(status) : ""), tries, within);
}
