/**
 * What has happened in a chat, as turns: from its history first, then frame by frame. Knows nothing of the page.
 *
 * A turn is { who: "user" | "agent" | "notice", author, parts, state: "waiting" | "running" | "done", status, result, model }. A part is
 * { kind: "text" | "thinking" | "tool" | "image" | "error" | "approval" | "line", … }. Frames are numbered: each counts once, and a
 * gap is told. A frame of a kind that is not known here is a quiet line: the server may be newer than the page.
 */
export class Turns {
  list = [];
  lastSeq = 0;
  running = false;
  #current = null; // the agent's turn that frames add to
  #speaker = null; // in a group: the id of the agent that answers

  constructor(viewerId) {
    this.viewerId = viewerId;
  }

  /** `chat`: { lastSeq, messages: { nodes }, runs: { nodes } }; runs are those that are live. */
  load({ lastSeq, messages, runs }) {
    this.list = messages.nodes.map(fromMessage);
    this.#current = null;
    const [run] = runs.nodes;
    this.running = run !== undefined;
    this.lastSeq = run ? run.fromSeq : lastSeq;
    const last = this.list.findLast((turn) => turn.who === "user");
    if (run && last?.author === run.triggeredBy) last.state = "waiting"; // its frame will come again
  }

  /** A message on its way: shown before the server has it. */
  expect(text) {
    const turn = { who: "user", author: this.viewerId, parts: [{ kind: "text", text }], state: "waiting" };
    this.list.push(turn);
    return turn;
  }

  withdraw(turn) {
    this.list.splice(this.list.indexOf(turn), 1);
  }

  /** The turn that has changed; null when the frame was known already; undefined when frames before it are missing. */
  apply(frame) {
    const seq = frame.seq ?? frame.begin;
    if (seq != null) {
      if (seq <= this.lastSeq) return null;
      if (seq > this.lastSeq + 1) return undefined;
      this.lastSeq = seq;
    }
    if (frame.__typename === "RunBegin") {
      this.running = true;
      this.#current = null;
      this.#speaker = frame.agentId ?? null;
      return null;
    }
    const { type, content = "", metadata } = frame;
    const take = Object.hasOwn(this.#takers, type) ? this.#takers[type] : () => this.#note(content || said(type));
    return take(content, metadata ?? {});
  }

  /** The types of frames, and the subtypes of `system` ones, that are shown in a way of their own. */
  get kinds() {
    return { types: Object.keys(this.#takers), events: Object.keys(this.#events) };
  }

  #takers = {
    user_message: (content, metadata) => this.#said(content, metadata.author_user_id ?? null),
    text: (content) => this.#grow("text", content),
    thinking: (content) => this.#grow("thinking", content),
    tool_call: (content, metadata) =>
      this.#add({ kind: "tool", id: metadata.tool_id, name: metadata.tool_name ?? content, input: metadata.input, state: "running" }),
    tool_result: (content, metadata) => this.#finishTool(content, metadata),
    image: (content, metadata) => this.#add({ kind: "image", data: content, mediaType: metadata.media_type }),
    error: (content) => this.#fail(content),
    crew_provisioning: (content) => this.#fail(content),
    status: (content) => this.#tell({ status: content }),
    agent_busy: (content) => this.#note(content || "The agent is busy with another message."),
    system: (content, metadata) => {
      const { subtype = "" } = metadata;
      return Object.hasOwn(this.#events, subtype) ? this.#events[subtype](content, metadata) : this.#note(content || said(subtype || "system"));
    },
    result: (_, metadata) => this.#tell({ result: metadata }),
    done: (_, metadata) => this.#end(metadata.no_reply === true),
  };

  /** Of `system` frames, by their subtype. */
  #events = {
    init: (_, { model }) => this.#tell({ model }),
    api_retry: (_, metadata) => this.#tell({ status: retry(metadata) }),
    approval_requested: (content, { approval_id: id, tool_name: tool, waits }) =>
      this.#add({ kind: "approval", id, tool, reason: content, waits: waits !== false }),
    redacted: (content) => this.#note(content),
  };

  #note(text) {
    return this.#add({ kind: "line", text });
  }

  #said(text, author) {
    const expected = this.list.find((turn) => turn.state === "waiting" && turn.author === author && turn.parts[0].text === text);
    if (expected) {
      expected.state = "done";
      return expected;
    }
    const turn = { who: "user", author, parts: [{ kind: "text", text }], state: "done" };
    this.list.push(turn);
    return turn;
  }

  #turn() {
    if (this.#current === null) {
      this.#current = { who: "agent", agentId: this.#speaker, parts: [], state: "running" };
      this.list.push(this.#current);
    }
    return this.#current;
  }

  #tell(news) {
    return Object.assign(this.#turn(), news);
  }

  #add(part) {
    const turn = this.#tell({ status: "" });
    turn.parts.push(part);
    return turn;
  }

  #grow(kind, text) {
    const last = this.#current?.parts.at(-1);
    if (last?.kind !== kind) return this.#add({ kind, text });
    last.text += text;
    return this.#tell({ status: "" });
  }

  #finishTool(content, metadata) {
    const turn = this.#turn();
    const call = turn.parts.find((part) => part.kind === "tool" && part.id === metadata.tool_use_id);
    if (!call) return this.#add({ kind: "tool", name: "result", result: content, state: metadata.is_error ? "failed" : "done" });
    Object.assign(call, { result: content, state: metadata.is_error ? "failed" : "done" });
    return turn;
  }

  /** Of two errors in a row the second says less. */
  #fail(text) {
    return this.#turn().parts.some((part) => part.kind === "error") ? this.#turn() : this.#add({ kind: "error", text });
  }

  #end(withoutReply) {
    this.running = false;
    const turn = this.#current;
    this.#current = null;
    if (turn === null) return null;
    for (const part of turn.parts) if (part.state === "running") part.state = "stopped";
    turn.cancelled = !withoutReply && !turn.result && !turn.parts.some((part) => part.kind === "error"); // neither an end of its own nor a failure
    return Object.assign(turn, { state: "done", status: "" });
  }
}

/** The name of a kind of frame, as words. */
const said = (name) => name.replaceAll("_", " ");

function retry({ attempt, max_retries: most, retry_delay_ms: pause, error_status: status }) {
  const count = Number.isFinite(attempt) && Number.isFinite(most) ? ` (${attempt} of ${most})` : "";
  const within = Number.isFinite(pause) ? ` in ${Math.max(1, Math.round(pause / 1000))} s` : "";
  return `The model does not answer${status ? ` (status ${status})` : ""}. Next try${count}${within} …`;
}

function fromMessage({ role, content, parts, authorUserId, author, agentId }) {
  if (role === "user") return { who: "user", author: authorUserId, name: author?.fullName ?? author?.email, parts: [{ kind: "text", text: content }], state: "done" };
  const who = role === "system" ? "notice" : "agent";
  const shown = [];
  for (const part of parts ?? [{ type: "text", content }]) takePart(shown, part);
  return { who, agentId, parts: shown, state: "done" };
}

function takePart(shown, { type, content = "", tool_name: name, tool_id: id, metadata }) {
  if (type === "tool_call") shown.push({ kind: "tool", id: id ?? metadata?.tool_id, name: name ?? content, input: metadata?.input, state: "stopped" });
  else if (type === "image") shown.push({ kind: "image", data: content, mediaType: metadata?.media_type });
  else if (type === "tool_result") {
    const state = metadata?.is_error ? "failed" : "done";
    const call = shown.find((part) => part.kind === "tool" && part.id === (metadata?.tool_use_id ?? id));
    if (call) Object.assign(call, { result: content, state });
    else shown.push({ kind: "tool", name: "result", result: content, state });
  } else shown.push({ kind: type === "thinking" || type === "error" ? type : "text", text: content });
}
