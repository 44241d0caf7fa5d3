import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const RESET = "mutation Reset($input: ResetPasswordInput!) { resetPassword(input: $input) { ok } }";

const token = new URLSearchParams(location.search).get("token") ?? "";
history.replaceState(null, "", location.pathname); // the token is of use to whoever reads the address

onSubmit(find("#reset-form"), async ({ newPassword }, form) => {
  try {
    await graphql(RESET, { input: { token, newPassword } });
  } catch (error) {
    find("#again").hidden = !/token/i.test(error.message);
    throw error;
  }
  form.hidden = find("#again").hidden = true;
  find("#done").hidden = false;
  find("#done [role=status]").textContent = "The new password is set.";
  find("#reset-title").focus();
});
