import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit, showFaults } from "./form.js";
import { CHOSEN } from "./preferences.js";
import { showProviders } from "./providers.js";
import { readSetup, signOut, whoAmI } from "./session.js";

const JOINED = "workspaceId workspaceName role";
const ACCEPT = `mutation Accept($input: AcceptInvitationInput!) { acceptInvitation(input: $input) { ${JOINED} } }`;
const SIGN_UP = `mutation SignUp($input: SignUpInvitedInput!) { signupByInvitation(input: $input) { ${JOINED} } }`;

const PLACES = "query Places { viewer { memberships { role workspace { id name } } } }";
const ACCEPTING = "crewship.invitation";

const token = new URLSearchParams(location.search).get("token") ?? "";
const here = location.pathname + location.search;

function show(id, focus = false) {
  for (const panel of document.querySelectorAll(".panel[id]")) panel.hidden = panel.id !== id;
  if (focus) find(`#${id} h2`).focus();
}

async function begin(focus = false) {
  if (!token) {
    find("#unavailable [role=alert]").textContent = "This link contains no invitation. Open the complete link of the mail, or ask for a new one.";
    return show("unavailable", true);
  }
  try {
    const viewer = await whoAmI();
    if (viewer) {
      find("#email").textContent = viewer.email;
      if (!comesBack()) return show("accept", focus);
      return await accept().catch((error) => {
        show("accept", true);
        showFaults(find("#accept-form"), error);
      });
    }
    const { providers } = await readSetup();
    find("#sign-in").href = `/login?callbackUrl=${encodeURIComponent(here)}`;
    showProviders(find(".providers ul"), providers, here);
    find(".providers").hidden = providers.length === 0;
    find(".providers ul").onclick = () => sessionStorage.setItem(ACCEPTING, token);
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

/** Whether the viewer went from this invitation to a sign-in provider, to accept it: they are not asked once more. */
function comesBack() {
  const accepting = sessionStorage.getItem(ACCEPTING);
  sessionStorage.removeItem(ACCEPTING);
  return accepting !== null && accepting === token;
}

async function accept() {
  try {
    welcome((await graphql(ACCEPT, { input: { token } })).acceptInvitation);
  } catch (error) {
    if (error.extensions?.code !== "CONFLICT") throw error;
    await welcomeMember();
  }
}

/** A newcomer whom a provider signed in has become a member with that. Of several workspaces it is not known which. */
async function welcomeMember() {
  const { memberships } = (await graphql(PLACES)).viewer;
  if (memberships.length === 1) {
    const [{ role, workspace }] = memberships;
    return welcome({ workspaceId: workspace.id, workspaceName: workspace.name, role });
  }
  history.replaceState(null, "", location.pathname);
  find("#joined-title").textContent = "You are a member already";
  find("#joined-as").hidden = true;
  show("joined", true);
}

onSubmit(find("#accept-form"), accept);

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
