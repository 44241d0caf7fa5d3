import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const CONFIRM = "mutation Confirm($input: ConfirmEmailInput!) { confirmEmail(input: $input) { ok } }";

const token = new URLSearchParams(location.search).get("token") ?? "";
history.replaceState(null, "", location.pathname); // the token is of use to whoever reads the address

onSubmit(find("#confirm-form"), async (_, form) => {
  await graphql(CONFIRM, { input: { token } });
  form.hidden = true;
  find("#done").hidden = false;
  find("#done [role=status]").textContent = "The new email is confirmed.";
  find("#confirm-title").focus();
});
