import { graphql } from "./api.js";
import { make } from "./dom.js";

const READ = `query Approval($ws: ID!, $id: ID!) {
  approval(workspaceId: $ws, id: $id) { status reason tool payload comment decidedBy timeoutAt }
}`;
const DECIDE = `mutation DecideApproval($ws: ID!, $id: ID!, $status: JSON!, $comment: String) {
  decideApproval(workspaceId: $ws, input: { id: $id, status: $status, comment: $comment }) { status }
}`;
const DECIDERS = new Set(["OWNER", "ADMIN"]); // who sees the buttons; the server judges
const OVER = { timeout: "Not decided in time: the call is refused.", cancelled: "Cancelled: the run has ended." };

/** Questions of agents that wait for consent: shown where they were asked, decided there, and kept up when others decide. */
export class Approvals {
  #views = new Set();

  /** `nameOf` gives the name of a user by the id. */
  constructor(workspace, nameOf) {
    Object.assign(this, { workspace, nameOf });
  }

  /** The view of a part of a turn, for a transcript. */
  view(part) {
    const view = new Question(part, this.workspace, this.nameOf);
    this.#views.add(view);
    view.read();
    return view;
  }

  /** Reads anew what is not decided as far as this page knows. */
  refresh() {
    for (const view of this.#views) view.read();
  }

  /** What was shown is not shown any more. */
  forget() {
    this.#views.clear();
  }
}

class Question {
  #reading = null;
  #stale = false;
  #over = false;

  constructor({ id, tool, reason, waits }, workspace, nameOf) {
    Object.assign(this, { id, workspace, nameOf, waits });
    const title = make("p", { class: "title", id: `question-${id}`, text: `${tool} needs consent` });
    this.reason = make("p", { class: "reason", text: reason });
    this.given = make("pre", { tabIndex: 0, hidden: true });
    this.given.setAttribute("aria-label", `Arguments of ${tool}`);
    this.comment = make("input", { name: "comment", maxLength: 2000, autocomplete: "off" });
    const note = make("label", {}, "Comment for the agent (optional)", this.comment);
    const buttons = [["approved", "Approve", ""], ["denied", "Reject", "quiet"]].map(([status, text, name]) => {
      const button = make("button", { type: "button", class: name, text });
      button.onclick = () => this.#decide(status);
      return button;
    });
    this.choice = make("div", { class: "choice", hidden: true }, note, make("div", { class: "row" }, ...buttons));
    this.trouble = make("p", { class: "refusal", role: "alert" });
    this.state = make("p", { class: "outcome", role: "status" });
    this.element = make("section", { class: "approval" }, title, this.reason, this.given, this.choice, this.trouble, this.state);
    this.element.setAttribute("aria-labelledby", title.id);
    this.element.dataset.state = "pending";
  }

  /** One reading at a time; what is asked for meanwhile is read behind it. */
  read() {
    if (this.#over) return Promise.resolve();
    this.#stale = this.#reading !== null;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
      if (this.#stale) this.read();
    });
    return this.#reading;
  }

  async #read() {
    try {
      const { approval } = await graphql(READ, { ws: this.workspace.id, id: this.id });
      if (!this.#over) this.#show(approval);
    } catch (refusal) {
      this.trouble.textContent = `The question cannot be read: ${refusal.message}`;
    }
  }

  #show({ status, reason, payload, comment, decidedBy, timeoutAt }) {
    this.trouble.textContent = "";
    this.reason.textContent = reason;
    if (payload?.args !== undefined && !this.given.textContent) this.given.textContent = JSON.stringify(payload.args, null, 2);
    this.given.hidden = !this.given.textContent;
    this.element.dataset.state = status;
    this.#over = status !== "pending";
    const decides = DECIDERS.has(this.workspace.currentUserRole);
    this.choice.hidden = this.#over || !decides;
    this.state.textContent = this.#over ? this.#outcome(status, decidedBy, comment) : this.#pending(timeoutAt, decides);
  }

  #pending(timeoutAt, decides) {
    const until = timeoutAt ? ` until ${new Date(timeoutAt).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
    const waits = this.waits ? `The agent waits${until}.` : "The agent does not wait for the decision.";
    return decides ? waits : `${waits} An admin of the workspace can decide.`;
  }

  #outcome(status, decidedBy, comment) {
    if (OVER[status]) return OVER[status];
    const who = decidedBy ? this.nameOf(decidedBy) : "Somebody";
    return `${status === "approved" ? "Approved" : "Rejected"} by ${who === "You" ? "you" : who}${comment ? `: ${comment}` : "."}`;
  }

  async #decide(status) {
    const controls = this.choice.querySelectorAll("button, input");
    for (const control of controls) control.disabled = true;
    this.trouble.textContent = "";
    try {
      await graphql(DECIDE, { ws: this.workspace.id, id: this.id, status, comment: this.comment.value.trim() });
    } catch (refusal) {
      await this.read(); // somebody else may have been first
      if (!this.#over) this.trouble.textContent = refusal.message;
    }
    if (!this.#over) await this.read();
    for (const control of controls) control.disabled = false;
  }
}
