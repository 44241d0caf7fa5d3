import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";
import { CHOSEN } from "./preferences.js";
import { showProviders } from "./providers.js";
import { readSetup, signOut, whoAmI } from "./session.js";

const JOINED = "workspaceId workspaceName role";
const ACCEPT = `mutation Accept($input: AcceptInvitationInput!) { acceptInvitation(input: $input) { ${JOINED} } }`;
const SIGN_UP = `mutation SignUp($input: SignUpInvitedInput!) { signupByInvitation(input: $input) { ${JOINED} } }`;

const token = new URLSearchParams(location.search).get("token") ?? "";
const here = location.pathname + location.search;

function show(id, focus = false) {
  for (const panel of document.querySelectorAll(".panel[id]")) panel.hidden = panel.id !== id;
  if (focus) find(`#${id} h2`).focus();
}

async function begin(focus = false) {
  try {
    const viewer = await whoAmI();
    if (viewer) {
      find("#email").textContent = viewer.email;
      return show("accept", focus);
    }
    const { providers } = await readSetup();
    find("#sign-in").href = `/login?callbackUrl=${encodeURIComponent(here)}`;
    showProviders(find(".providers ul"), providers, here);
    find(".providers").hidden = providers.length === 0;
    show("join", focus);
  } catch (error) {
    find("#unavailable [role=alert]").textContent = error.message;
    show("unavailable", true);
  }
}

function welcome({ workspaceId, workspaceName, role }) {
  history.replaceState(null, "", location.pathname); // the token has done its work
  localStorage.setItem(CHOSEN, workspaceId);
  find("#joined-title").textContent = `Welcome to ${workspaceName}`;
  find("#role").textContent = role.toLowerCase();
  show("joined", true);
}

onSubmit(find("#accept-form"), async () => welcome((await graphql(ACCEPT, { input: { token } })).acceptInvitation));

onSubmit(find("#join-form"), async ({ fullName, password }) => {
  welcome((await graphql(SIGN_UP, { input: { token, fullName, password } })).signupByInvitation);
});

find("#switch").onclick = async () => {
  try {
    await signOut();
    location.assign(`/login?callbackUrl=${encodeURIComponent(here)}`);
  } catch (error) {
    find("#accept-form .refusal").textContent = error.message;
  }
};

document.addEventListener("signed-out", () => begin(true));
begin();
