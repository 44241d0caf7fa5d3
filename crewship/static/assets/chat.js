import { graphql } from "./api.js";
import { Approvals } from "./approvals.js";
import { find, make, when } from "./dom.js";
import { showPane } from "./panes.js";
import { Transcript } from "./transcript.js";
import { Turns } from "./turns.js";

const PAGE = 500;
const CHATS = "query Chats($ws: ID!, $agent: ID!) { agentChats(workspaceId: $ws, agentId: $agent) { id title createdBy lastActivityAt } }";
const HISTORY = `query History($id: ID!, $limit: Int!, $offset: Int!) {
  chat(id: $id) {
    lastSeq
    messages(limit: $limit, offset: $offset) { totalCount nodes { role content parts agentId authorUserId author { fullName email } } }
    runs(limit: 1, status: RUNNING) { nodes { triggeredBy fromSeq } }
  }
}`;
const FRAMES = `subscription Frames($id: ID!, $afterSeq: Int) {
  chatEvents(chatId: $id, afterSeq: $afterSeq) {
    __typename
    ... on RunBegin { begin: seq agentId }
    ... on ChatFrame { seq type content metadata }
  }
}`;
const CREATE = "mutation Create($ws: ID!, $agent: ID!) { createChat(workspaceId: $ws, input: { agentId: $agent, origin: UI }) { id } }";
const SEND = "mutation Send($id: ID!, $content: String!) { sendMessage(input: { chatId: $id, content: $content }) { runId } }";
const CANCEL = "mutation Cancel($id: ID!) { cancelMessage(input: { chatId: $id }) { cancelled } }";
const READ = "mutation Read($ws: ID!, $agent: ID!, $id: ID!) { markChatRead(workspaceId: $ws, input: { agentId: $agent, chatId: $id }) { chatId } }";

/** The conversation with one agent: its chats, the one that is open, and what is being written. */
export class Chat {
  #visit = 0; // a number for each opening, so that late answers to an earlier one are dropped
  #stop = () => {};
  #following = true; // the newest turn is kept in sight
  #sending = false;
  #ears = new AbortController();
  #watch = new ResizeObserver(() => this.#following && this.#toNewest());

  constructor(live, workspace, viewer, nameOf, onOpen) {
    Object.assign(this, { live, workspace, viewer, onOpen });
    this.turns = new Turns(viewer.id);
    this.scroll = find("#transcript");
    this.message = find("#message");
    const names = (turn) => (turn.who === "notice" ? "Crewship" : (nameOf(turn) ?? this.agent.name));
    this.approvals = new Approvals(workspace, (userId) => nameOf({ who: "user", author: userId }));
    this.transcript = new Transcript(find("#turns"), names, { approval: (part) => this.approvals.view(part) });
    this.#listen();
  }

  #listen() {
    const { signal } = this.#ears;
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal });
    on(find("#composer"), "submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    on(this.message, "keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      if (this.enterStartsALine && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.#send();
    });
    on(document, "keydown", ({ key }) => key === "Escape" && this.turns.running && this.#cancel());
    on(this.message, "input", () => this.#fit());
    on(find("#cancel"), "click", () => this.#cancel());
    on(find("#new-chat"), "click", () => this.open(this.agent, null));
    on(find("#chats"), "change", ({ target }) => this.open(this.agent, target.value || null));
    on(find("#newest"), "click", () => this.#toNewest());
    on(this.scroll, "scroll", () => {
      this.#following = this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < 48;
      find("#newest").hidden = this.#following;
    });
    this.#watch.observe(this.scroll);
  }

  /** Opens a chat with an agent: that one, a new one for null, without an id the caller's last. */
  async open(agent, chatId) {
    const visit = (this.#visit += 1);
    this.#stop();
    this.#stop = () => {};
    Object.assign(this, { agent, chatId: null });
    this.turns = new Turns(this.viewer.id);
    this.approvals.forget();
    this.transcript.show([]);
    this.#say("");
    find("#chat-title").textContent = agent.name;
    find("#chat-about").textContent = [agent.roleTitle, agent.llmModel].filter(Boolean).join(" · ");
    this.message.placeholder = `Message ${agent.name}`;
    showPane("chat");
    this.#reflect();
    if (matchMedia("(pointer: fine)").matches) this.message.focus(); // elsewhere it would raise a keyboard
    try {
      const chats = (await graphql(CHATS, { ws: this.workspace.id, agent: agent.id })).agentChats;
      if (visit !== this.#visit) return;
      const chosen = chatId === undefined ? (chats.find(({ createdBy }) => createdBy === this.viewer.id)?.id ?? null) : chatId;
      this.#offer(chats, chosen);
      if (chosen) await this.#follow(chosen, visit);
      this.onOpen(agent, chosen);
    } catch (refusal) {
      if (visit === this.#visit) this.#say(refusal.message);
    }
    if (visit === this.#visit) this.#reflect();
  }

  close() {
    this.#visit += 1;
    this.#stop();
    this.#ears.abort();
    this.#watch.disconnect();
  }

  #offer(chats, chosen) {
    const options = chats.map(({ id, title, lastActivityAt }) => make("option", { value: id, text: `${title ?? "Untitled"} · ${when(lastActivityAt)}` }));
    find("#chats").replaceChildren(make("option", { value: "", text: "New chat" }), ...options);
    find("#chats").value = chosen ?? "";
    find("#choose-chat").hidden = chats.length === 0;
  }

  /** Reads the history, then everything that is numbered behind it. */
  async #follow(chatId, visit) {
    this.#stop();
    const history = await this.#history(chatId);
    if (visit !== this.#visit) return;
    this.chatId = chatId;
    this.turns.load(history);
    this.approvals.forget();
    this.transcript.show(this.turns.list);
    this.#toNewest();
    this.#markRead();
    const again = () => visit === this.#visit && this.#follow(chatId, visit).then(() => this.#reflect(), (refusal) => this.#say(refusal.message));
    this.#stop = this.live.subscribe(
      FRAMES,
      () => ({ id: chatId, afterSeq: this.turns.lastSeq }),
      ({ chatEvents: frame }) => (frame.__typename === "StreamReset" || this.#take(frame) === undefined) && again(),
      (errors) => visit === this.#visit && this.#say(errors[0]?.message ?? "This chat no longer receives updates."),
    );
  }

  /** The newest page, and how far it reaches, of one moment. */
  async #history(id) {
    let offset = 0;
    for (;;) {
      const { chat } = await graphql(HISTORY, { id, limit: PAGE, offset });
      if (chat.messages.totalCount <= offset + PAGE) {
        find("#earlier").hidden = offset === 0;
        return chat;
      }
      offset = chat.messages.totalCount - PAGE;
    }
  }

  #take(frame) {
    if (frame.__typename !== "RunBegin" && frame.__typename !== "ChatFrame") return null;
    const turn = this.turns.apply(frame);
    if (turn) this.#shown(turn);
    if (frame.__typename === "RunBegin" || frame.type === "done") this.#reflect();
    if (frame.type === "done") {
      find("#answered").textContent = `${this.agent.name} has answered.`;
      this.#markRead();
    }
    return turn;
  }

  #shown(turn) {
    this.transcript.update(turn);
    if (this.#following) this.scroll.scrollTop = this.scroll.scrollHeight;
    find("#empty").hidden = true;
  }

  #toNewest() {
    this.#following = true;
    this.scroll.scrollTop = this.scroll.scrollHeight;
    find("#newest").hidden = true;
  }

  async #send() {
    const text = this.message.value.trim();
    if (!text || this.#sending) return;
    if (this.turns.running) {
      find("#wait").textContent = `${this.agent.name} is still answering. Send this when it is done, or cancel the answer.`;
      return;
    }
    const visit = this.#visit;
    let expected = null;
    this.#sending = true;
    this.#say("");
    this.#write("");
    try {
      if (this.chatId === null) await this.#begin(text, visit);
      if (visit !== this.#visit) return;
      expected = this.turns.expect(text);
      this.#toNewest();
      this.#shown(expected);
      await graphql(SEND, { id: this.chatId, content: text });
    } catch (refusal) {
      if (visit !== this.#visit) return;
      if (expected?.state === "waiting") {
        this.turns.withdraw(expected);
        this.transcript.remove(expected);
      }
      if (!this.message.value) this.#write(text);
      this.#say(refusal.message);
    } finally {
      this.#sending = false;
    }
  }

  async #begin(text, visit) {
    const { createChat } = await graphql(CREATE, { ws: this.workspace.id, agent: this.agent.id });
    if (visit !== this.#visit) return;
    await this.#follow(createChat.id, visit);
    find("#chats").append(make("option", { value: createChat.id, text }));
    find("#chats").value = createChat.id;
    find("#choose-chat").hidden = false;
    this.onOpen(this.agent, createChat.id);
  }

  async #cancel() {
    find("#cancel").disabled = true;
    try {
      const { cancelMessage } = await graphql(CANCEL, { id: this.chatId });
      if (!cancelMessage.cancelled && this.turns.running) this.#say("Only the user who asked can cancel the answer.");
    } catch (refusal) {
      this.#say(refusal.message);
    } finally {
      find("#cancel").disabled = false;
    }
  }

  #markRead() {
    // of no matter to the conversation: what cannot be marked stays unread
    graphql(READ, { ws: this.workspace.id, agent: this.agent.id, id: this.chatId }).catch(() => {});
  }

  #write(text) {
    this.message.value = text;
    this.#fit();
  }

  #fit() {
    this.message.style.height = "auto";
    this.message.style.height = `${Math.min(this.message.scrollHeight + 2, 200)}px`;
  }

  #say(trouble) {
    find("#chat-refusal").textContent = trouble;
  }

  #reflect() {
    const { running } = this.turns;
    if (!running) find("#wait").textContent = "";
    find("#send").hidden = running;
    find("#cancel").hidden = !running;
    find("#log").setAttribute("aria-busy", String(running));
    find("#empty").hidden = this.turns.list.length > 0;
    if (running) find("#answered").textContent = `${this.agent.name} is answering.`;
  }
}
