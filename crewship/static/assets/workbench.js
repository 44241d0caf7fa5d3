import { NOT_ACCEPTED, accept } from "./acceptance.js";
import { graphql } from "./api.js";
import { Chat } from "./chat.js";
import { Crew } from "./crew.js";
import { find, make } from "./dom.js";
import { SMALL, showPane } from "./panes.js";
import { Live } from "./live.js";
import { CHOSEN, ENTER, WORKSPACE } from "./preferences.js";
import { whoAmI } from "./session.js";

const VIEWER = "query Viewer { viewer { id email fullName workspaces { id name slug currentUserRole } memberships { acceptedAt workspace { id } } } preferences { key value } }";

/** What is shown to who is signed in: the crew on one side, a conversation on the other. */
export class Workbench {
  #crew = null;
  #chat = null;

  constructor() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.live = new Live(`${scheme}//${location.host}/graphql`, (state) => this.#tell(state));
    find("#workspace").onchange = ({ target }) => {
      localStorage.setItem(CHOSEN, target.value);
      history.replaceState(null, "", "/");
      this.#enter(target.value);
    };
    find("#not-accepted button").onclick = () => this.#accept().catch((error) => (find("#crew-refusal").textContent = error.message));
    find("#back").onclick = () => showPane("crew");
    SMALL.addEventListener("change", () => showPane(find("#workbench").dataset.open));
  }

  async open() {
    this.live.begin();
    const { viewer, preferences } = await graphql(VIEWER);
    this.viewer = viewer;
    this.preferences = new Map(preferences.map(({ key, value }) => [key, value]));
    this.unaccepted = new Set(viewer.memberships.filter(({ acceptedAt }) => !acceptedAt).map(({ workspace }) => workspace.id));
    const { workspaces, fullName, email } = this.viewer;
    find("#account-name").textContent = fullName ?? email;
    find("#account-name").title = email;
    find("#workspace").replaceChildren(...workspaces.map(({ id, name, slug }) => make("option", { value: id, text: name, title: slug })));
    find("#choose-workspace").hidden = workspaces.length < 2;
    find("#no-workspace").hidden = workspaces.length > 0;
    const named = (wanted) => workspaces.find(({ id }) => id === wanted);
    const first = named(this.preferences.get(WORKSPACE)) ?? named(localStorage.getItem(CHOSEN)) ?? workspaces[0];
    if (first) {
      find("#workspace").value = first.id;
      await this.#enter(first.id);
    }
  }

  close() {
    this.#leave();
    this.live.close();
  }

  #leave() {
    this.#crew?.close();
    this.#chat?.close();
    this.#crew = this.#chat = null;
  }

  async #tell(state) {
    find("#connection").textContent = state === "waiting" ? "Connecting again …" : "";
    if (state !== "denied") return;
    if (await whoAmI().catch(() => null)) find("#connection").textContent = "Live updates are refused here.";
    else document.dispatchEvent(new Event("signed-out"));
  }

  async #enter(id) {
    this.#leave();
    this.#askToAccept(id);
    const workspace = this.viewer.workspaces.find((known) => known.id === id);
    const crew = (this.#crew = new Crew(this.live, workspace, (agent, chatId) => this.#open(agent, chatId), () => this.#chat?.approvals.refresh()));
    const userName = ({ author, name }) => (author === this.viewer.id ? "You" : (name ?? crew.members.get(author) ?? "Somebody"));
    const nameOf = (turn) => (turn.who === "user" ? userName(turn) : crew.agents.get(turn.agentId)?.name);
    this.#chat = new Chat(this.live, workspace, this.viewer, nameOf, (agent, chatId) => this.#remember(agent, chatId));
    this.#chat.enterStartsALine = this.preferences.get(ENTER) === "line";
    find("#enter-sends").hidden = this.#chat.enterStartsALine;
    find("#enter-starts-a-line").hidden = !this.#chat.enterStartsALine;
    find("#chat").hidden = true;
    await crew.start();
    if (this.#crew !== crew) return;
    const wanted = new URLSearchParams(location.hash.slice(1));
    const agents = [...crew.agents.values()];
    const agent = agents.find(({ slug }) => slug === wanted.get("agent")) ?? agents[0];
    const opened = agent && this.#open(agent, wanted.get("chat") ?? undefined);
    showPane(agent && !wanted.has("agent") ? "crew" : "chat"); // before somebody chooses
    await opened;
  }

  #askToAccept(id) {
    find("#not-accepted").hidden = !this.unaccepted.has(id);
    find("#not-accepted span").textContent = NOT_ACCEPTED;
  }

  async #accept() {
    const { id } = this.#crew.workspace;
    await accept(id);
    this.unaccepted.delete(id);
    this.#askToAccept(this.#crew.workspace.id);
    find("#crew h2").focus();
  }

  async #open(agent, chatId) {
    find("#chat").hidden = false;
    find("#open-terminal").hidden = agent.crewId === null;
    find("#open-terminal").href = `/terminal?${new URLSearchParams({ agent: agent.slug, workspace: this.#crew.workspace.id })}`;
    this.#crew.select(agent.id);
    await this.#chat.open(agent, chatId);
  }

  /** The address leads back to what is open. */
  #remember(agent, chatId) {
    const where = new URLSearchParams({ agent: agent.slug, ...(chatId && { chat: chatId }) });
    history.replaceState(null, "", `/#${where}`);
  }
}
