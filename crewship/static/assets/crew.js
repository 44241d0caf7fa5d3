import { graphql } from "./api.js";
import { badge, find, make, when } from "./dom.js";

const SHOWN = 30; // runs
const PATIENCE = 1500; // milliseconds for events to begin: without them all is read, and once more when they do
const AGENT = "id name slug roleTitle status llmModel crewId";
const RUN = "id agentId agentName status chatId createdAt startedAt finishedAt errorMessage";
const CREW = `query Crew($ws: ID!) {
  workspace(id: $ws) {
    members { userId user { fullName email } }
    crews(first: 100) { nodes { id name agents(first: 100) { nodes { ${AGENT} } } } }
    agents(first: 100) { nodes { ${AGENT} } }
    runs(first: ${SHOWN}) { nodes { ${RUN} } }
  }
}`;
const ONE_RUN = `query Run($ws: ID!, $id: ID!) { run(workspaceId: $ws, id: $id) { ${RUN} } }`;
const EVENTS = `subscription Events($ws: ID!, $after: String) {
  workspaceEvents(workspaceId: $ws, after: $after) {
    __typename
    ... on Event { cursor }
    ... on StreamReset { reason }
    ... on RunStartedEvent { runId }
    ... on RunCompletedEvent { runId ended: status }
    ... on RunFailedEvent { runId failed: status }
    ... on InboxItemUpdatedEvent { state }
    ... on AgentStatusChangedEvent { agentId agentStatus: status }
  }
}`;
const NEW_CREW = "mutation NewCrew($ws: ID!, $name: String!, $slug: String!) { createCrew(workspaceId: $ws, input: { name: $name, slug: $slug }) { id } }";
const NEW_AGENT = `mutation NewAgent($ws: ID!, $crew: ID, $name: String!, $slug: String!) {
  createAgent(workspaceId: $ws, input: { crewId: $crew, name: $name, slug: $slug }) { id }
}`;
const CHANGED = /^(Agent(Created|Updated|Deleted|Hired|Rehired|HireApproved|Expired)|Crew(Created|Updated|Deleted))Event$|^StreamReset$/;
const INBOX = /^Inbox(Item|Bulk)UpdatedEvent$|^StreamReset$/;
const ENDED = { COMPLETED: "done", FAILED: "failed", CANCELLED: "cancelled", TIMEOUT: "timed out" };

const slugOf = (name) => name.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");

/** Crews, agents and runs of a workspace: read in one query, then kept up by events. */
export class Crew {
  agents = new Map();
  members = new Map();
  #runs = new Map();
  #cursor = "-"; // asks for an answer that says where the events begin: what is read after it misses nothing
  #begun = Promise.withResolvers();
  #stop = () => {};
  #reload = 0;
  #clock = 0;

  /** `open(agent, chatId)` is called for what is chosen, `onInbox()` where something that waits for people has changed. */
  constructor(live, workspace, open, onInbox) {
    Object.assign(this, { live, workspace, open, onInbox });
    find("#new-agent form").onsubmit = (event) => this.#hire(event);
  }

  async start() {
    this.#stop = this.live.subscribe(
      EVENTS,
      () => ({ ws: this.workspace.id, after: this.#cursor }),
      ({ workspaceEvents: event }) => this.#take(event),
      (errors) => {
        this.#begun?.resolve();
        this.#say(errors[0]?.message ?? "This page no longer receives updates.");
      },
    );
    const patience = setTimeout(this.#begun.resolve, PATIENCE);
    await this.#begun.promise;
    clearTimeout(patience);
    this.#begun = null;
    await this.load();
    this.#clock = setInterval(() => this.#showRuns(), 30_000); // "5 min ago" is true for a while only
  }

  close() {
    this.#stop();
    this.#begun?.resolve();
    clearTimeout(this.#reload);
    clearInterval(this.#clock);
  }

  async load() {
    const { workspace } = await graphql(CREW, { ws: this.workspace.id });
    const alone = workspace.agents.nodes.filter(({ crewId }) => crewId === null);
    const groups = workspace.crews.nodes.map(({ name, agents }) => [name, agents.nodes]);
    if (alone.length) groups.push(["Without a crew", alone]);
    this.members = new Map(workspace.members.map(({ userId, user }) => [userId, user.fullName ?? user.email]));
    this.agents = new Map(groups.flatMap(([, agents]) => agents.map((agent) => [agent.id, agent])));
    this.crews = workspace.crews.nodes;
    this.#runs = new Map(workspace.runs.nodes.map((run) => [run.id, run]));
    find("#crews").replaceChildren(...groups.map(([name, agents]) => this.#group(name, agents)));
    find("#new-agent").hidden = this.agents.size > 0;
    this.select(this.selected);
    this.#showRuns();
  }

  #group(name, agents) {
    const list = make("ul", {}, ...agents.map((agent) => this.#agent(agent)));
    return make("section", { class: "crew" }, make("h3", { text: name }), agents.length ? list : make("p", { class: "note", text: "No agents yet" }));
  }

  #agent(agent) {
    const about = make("span", { class: "about" }, make("strong", { text: agent.name }), make("span", { text: agent.roleTitle ?? agent.slug }));
    const state = make("span", { class: "dot" });
    const button = make("button", { type: "button", class: "agent" }, badge(agent.slug), about, state);
    button.dataset.agent = agent.id;
    button.onclick = () => this.open(agent);
    this.#showStatus(button, agent.status);
    return make("li", {}, button);
  }

  #showStatus(button, status) {
    const said = status.toLowerCase().replace("_", " ");
    button.dataset.status = status;
    const dot = button.querySelector(".dot");
    dot.title = said;
    dot.replaceChildren(make("span", { class: "unseen", text: said }));
  }

  /** Marks the agent whose chat is open. */
  select(agentId) {
    this.selected = agentId;
    for (const button of document.querySelectorAll("#crews .agent")) {
      if (button.dataset.agent === agentId) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  #take(event) {
    this.#cursor = event.cursor ?? this.#cursor;
    if (this.#begun) return this.#begun.resolve(); // all of it is read now
    const run = this.#runs.get(event.runId);
    if (INBOX.test(event.__typename)) this.onInbox();
    if (event.__typename === "RunStartedEvent") this.#read(event.runId);
    else if (run && (event.ended ?? event.failed)) {
      run.status = event.ended ?? event.failed;
      this.#showRuns();
      this.#read(event.runId); // when, and why
    } else if (event.__typename === "AgentStatusChangedEvent") {
      const button = document.querySelector(`#crews [data-agent="${CSS.escape(event.agentId)}"]`);
      if (button) this.#showStatus(button, event.agentStatus);
    } else if (CHANGED.test(event.__typename)) {
      clearTimeout(this.#reload); // one reading for a burst of changes
      this.#reload = setTimeout(() => this.load().catch((refusal) => this.#say(refusal.message)), 400);
    }
  }

  async #read(id) {
    try {
      const { run } = await graphql(ONE_RUN, { ws: this.workspace.id, id });
      this.#runs.set(id, run);
      this.#showRuns();
    } catch (refusal) {
      this.#say(refusal.message);
    }
  }

  #showRuns() {
    const newest = [...this.#runs.values()].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1)).slice(0, SHOWN);
    this.#runs = new Map(newest.map((run) => [run.id, run]));
    find("#runs").replaceChildren(...newest.map((run) => this.#run(run)));
    find("#no-runs").hidden = newest.length > 0;
  }

  #run(run) {
    const { status, startedAt, createdAt, finishedAt, errorMessage } = run;
    const said = ENDED[status] ?? "running";
    const whole = Math.round((new Date(finishedAt) - new Date(startedAt)) / 1000); // times are told to the second
    const seconds = startedAt && finishedAt ? ` in ${whole < 1 ? "under 1" : whole} s` : "";
    const name = make("strong", { text: run.agentName });
    const about = make("span", { class: "about" }, name, make("span", { text: `${said}${seconds} · ${when(startedAt ?? createdAt)}` }));
    const button = make("button", { type: "button", class: "run", title: errorMessage ?? "" }, make("span", { class: "dot" }), about);
    button.dataset.status = status;
    const agent = this.agents.get(run.agentId);
    button.disabled = !agent || !run.chatId;
    button.onclick = () => this.open(agent, run.chatId);
    return make("li", {}, button);
  }

  async #hire(event) {
    event.preventDefault();
    const form = event.target;
    const name = new FormData(form).get("name").trim();
    const refusal = form.querySelector(".refusal");
    refusal.textContent = "";
    try {
      const ws = this.workspace.id;
      const crew = this.crews[0] ?? (await graphql(NEW_CREW, { ws, name: "First crew", slug: "first-crew" })).createCrew;
      const { createAgent } = await graphql(NEW_AGENT, { ws, crew: crew.id, name, slug: slugOf(name) });
      form.reset();
      await this.load();
      this.open(this.agents.get(createAgent.id));
    } catch (error) {
      refusal.textContent = error.message;
    }
  }

  #say(trouble) {
    find("#crew-refusal").textContent = trouble;
  }
}
