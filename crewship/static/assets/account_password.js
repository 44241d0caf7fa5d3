import { graphql } from "./api.js";
import { showSessions } from "./account_sessions.js";
import { ask } from "./ask.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const CHANGE = "mutation Change($input: ChangePasswordInput!) { changePassword(input: $input) { success } }";
const DELETE = "mutation Delete($input: DeleteAccountInput!) { deleteAccount(input: $input) { success } }";

export async function showPassword() {
  onSubmit(find("#password-form"), async ({ currentPassword, newPassword }, form) => {
    find("#password-changed").textContent = "";
    await graphql(CHANGE, { input: { currentPassword, newPassword } });
    form.reset();
    find("#password-changed").textContent = "Changed.";
    await showSessions();
  });
}

export async function showDeletion() {
  onSubmit(find("#delete-form"), async ({ password }) => {
    const text = "Your sessions, tokens and memberships end, and so do workspaces that are yours alone. This cannot be undone.";
    if (!(await ask({ title: "Delete your account?", text, yes: "Delete it", final: true }))) return;
    await graphql(DELETE, { input: { password } });
    location.assign("/login");
  });
}
