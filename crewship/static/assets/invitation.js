import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";
import { whoAmI } from "./session.js";

const ACCEPT = "mutation Accept($input: AcceptInvitationInput!) { acceptInvitation(input: $input) { workspaceId } }";
const SIGN_UP = "mutation SignUp($input: SignUpInvitedInput!) { signupByInvitation(input: $input) { workspaceId } }";
const CHOSEN = "crewship.workspace"; // which the chat opens with

const token = new URLSearchParams(location.search).get("token") ?? "";
find("#sign-in").href = `/login?callbackUrl=${encodeURIComponent(location.pathname + location.search)}`;
history.replaceState(null, "", location.pathname); // the token is of use to whoever reads the address

function enter({ workspaceId }) {
  localStorage.setItem(CHOSEN, workspaceId);
  location.assign("/");
}

async function begin() {
  try {
    const viewer = await whoAmI();
    if (!viewer) {
      onSubmit(find("#signup-form"), async ({ fullName, password }) => {
        enter((await graphql(SIGN_UP, { input: { token, fullName, password } })).signupByInvitation);
      });
      return;
    }
    find("#email").textContent = viewer.email;
    onSubmit(find("#join-form"), async () => {
      enter((await graphql(ACCEPT, { input: { token } })).acceptInvitation);
    });
  } catch (error) {
    find("#unavailable [role=alert]").textContent = error.message;
    find("#unavailable").hidden = false;
  }
}

begin();
