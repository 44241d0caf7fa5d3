import { graphql } from "./api.js";
import { ask } from "./ask.js";
import { find, make, when } from "./dom.js";
import { copy, onSubmit } from "./form.js";

const PLACES = "query Places { viewer { memberships { role workspace { id name } } } }";
const MEMBERS = "query Members($ws: ID!) { members(workspaceId: $ws) { id role user { fullName email } } }";
const OPEN = "query Open($ws: ID!) { invitations(workspaceId: $ws) { id email role token createdAt expiresAt } }";
const INVITE = "mutation Invite($ws: ID!, $input: CreateInvitationInput!) { createInvitation(workspaceId: $ws, input: $input) { email token } }";
const WITHDRAW = "mutation Withdraw($ws: ID!, $input: OfInvitationInput!) { deleteInvitation(workspaceId: $ws, input: $input) { success } }";
const INVITING = ["OWNER", "ADMIN"];
const MOST_SHOWN = 100;

const places = [];

/** For those who may invite; nobody else sees the section. */
export async function showPeople() {
  const { memberships } = (await graphql(PLACES)).viewer;
  places.push(...memberships.filter(({ role }) => INVITING.includes(role)).map(({ workspace }) => workspace));
  if (!places.length) return;
  find("#people [name=workspace]").replaceChildren(...places.map(({ id, name }) => make("option", { value: id, text: name })));
  await Promise.all([showMembers(), showOpen()]);
  onSubmit(find("#invite-form"), invite);
  find("#people").hidden = false;
  find("#sections [href='#people']").hidden = false;
}

async function showMembers() {
  const rows = [];
  for (const place of places) {
    const { members } = await graphql(MEMBERS, { ws: place.id });
    rows.push(...members.map((member) => memberRow(place, member)));
  }
  const more = rows.length - MOST_SHOWN;
  find("#members").replaceChildren(...rows.slice(0, MOST_SHOWN));
  find("#more-members").textContent = `And ${more} more.`;
  find("#more-members").hidden = more <= 0;
}

function memberRow(place, { role, user }) {
  const about = make("span", { text: [user.email, place.name].join(" \u00b7 ") });
  return make("li", {}, make("p", {}, make("strong", { text: user.fullName ?? user.email }), about), make("span", { class: "tag", text: role.toLowerCase() }));
}

async function showOpen() {
  const rows = [];
  for (const place of places) {
    const { invitations } = await graphql(OPEN, { ws: place.id });
    rows.push(...invitations.map((invitation) => row(place, invitation)));
  }
  find("#invitations").replaceChildren(...rows);
  find("#people > .none").hidden = rows.length > 0;
}

function row(place, { id, email, role, token, createdAt, expiresAt }) {
  const ended = new Date(expiresAt) <= Date.now();
  const about = [place.name, role.toLowerCase(), ended ? "expired" : `invited ${when(createdAt)}`].join(" \u00b7 ");
  const buttons = make("p", { class: "row" });
  if (!ended) buttons.append(button("Link", email, () => showLink(email, token)));
  buttons.append(button("Withdraw", email, () => withdraw(place, id, email)));
  return make("li", {}, make("p", {}, make("strong", { text: email }), make("span", { text: about })), buttons);
}

function button(text, email, action) {
  const made = make("button", { type: "button", class: "quiet", text });
  made.ariaLabel = `${text}: ${email}`;
  made.onclick = async () => {
    try {
      await action();
    } catch (error) {
      find("#trouble").textContent = error.message;
    }
  };
  return made;
}

async function invite({ workspace, email, role }, form) {
  const made = (await graphql(INVITE, { ws: workspace, input: { email, role } })).createInvitation;
  form.reset();
  await showOpen();
  showLink(made.email, made.token);
}

function showLink(email, token) {
  find("#invitation-title").textContent = `Invitation for ${email}`;
  find("#invitation-link").textContent = `${location.origin}/invitation?token=${token}`;
  find("#invitation-copied").textContent = "";
  find("#invitation").hidden = false;
  find("#invitation-title").focus();
}

find("#copy-invitation").onclick = () => copy(find("#invitation-link"), find("#invitation-copied"));
find("#invitation-done").onclick = () => {
  find("#invitation").hidden = true;
  find("#invitation-link").textContent = "";
  find("#people-title").focus();
};

async function withdraw(place, invitationId, email) {
  const text = "Its link stops working.";
  if (!(await ask({ title: `Withdraw the invitation for ${email}?`, text, yes: "Withdraw", final: true }))) return;
  await graphql(WITHDRAW, { ws: place.id, input: { invitationId } });
  find("#invitation").hidden = true;
  await showOpen();
  find("#news").textContent = "The invitation is withdrawn.";
  find("#people-title").focus();
}
