import { NOT_ACCEPTED, accept } from "./acceptance.js";
import { graphql } from "./api.js";
import { showEmail } from "./account_email.js";
import { showIdentities } from "./account_identities.js";
import { showDeletion, showPassword } from "./account_password.js";
import { showPairing } from "./account_pairing.js";
import { showPasskeys } from "./account_passkeys.js";
import { showPeople } from "./account_people.js";
import { showPreferences } from "./account_preferences.js";
import { showSessions } from "./account_sessions.js";
import { showTokens } from "./account_tokens.js";
import { badge, find, make } from "./dom.js";
import { signInFirst, signOut } from "./session.js";

const PROFILE = "query Profile { viewer { email fullName memberships { role acceptedAt workspace { id name } } } }";

async function showProfile() {
  const { email, fullName, memberships } = (await graphql(PROFILE)).viewer;
  find("#account-name").textContent = fullName ?? email;
  find("#person").replaceChildren(badge(fullName ?? email), make("p", {}, make("strong", { text: fullName ?? email }), make("span", { text: email })));
  const rows = memberships.map(membershipRow);
  find("#password-form [name=username]").value = email;
  find("#memberships").replaceChildren(...(rows.length ? rows : [make("li", { class: "note", text: "None yet: an owner can add you." })]));
}

function membershipRow({ role, acceptedAt, workspace }) {
  const name = make("strong", { text: workspace.name });
  const tag = make("span", { class: "tag", text: role.toLowerCase() });
  if (acceptedAt) return make("li", {}, name, tag);
  const button = make("button", { type: "button", class: "quiet", text: "Accept", ariaLabel: `Accept the membership in ${workspace.name}` });
  button.onclick = () => acceptIn(workspace).catch((error) => (find("#trouble").textContent = error.message));
  return make("li", {}, make("p", {}, name, make("span", { text: NOT_ACCEPTED })), make("p", { class: "row" }, tag, button));
}

async function acceptIn({ id, name }) {
  await accept(id);
  await showProfile();
  find("#news").textContent = `You are a member of ${name}.`;
  find("#profile-title").focus();
}

document.addEventListener("signed-out", () => signInFirst());
find("#sign-out").onclick = async () => {
  try {
    await signOut();
    location.assign("/login");
  } catch (error) {
    find("#trouble").textContent = error.message;
  }
};

const sections = [showProfile, showPreferences, showEmail, showPassword, showPasskeys, showIdentities, showPeople, showSessions, showTokens, showPairing, showDeletion];
const shown = await Promise.allSettled(sections.map((show) => show()));
find("#trouble").textContent = [...new Set(shown.filter(({ reason }) => reason).map(({ reason }) => reason.message))].join(" ");
document.body.dataset.ready = "true";
