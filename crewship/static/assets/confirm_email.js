import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";
import { whoAmI } from "./session.js";

const CONFIRM = "mutation Confirm($input: ConfirmEmailInput!) { confirmEmail(input: $input) { ok } }";

const token = new URLSearchParams(location.search).get("token") ?? "";
history.replaceState(null, "", location.pathname); // the token is of use to whoever reads the address

onSubmit(find("#confirm-form"), async (_, form) => {
  await graphql(CONFIRM, { input: { token } });
  // the first proof of an account's address ends its password, unless a session of the account brings it
  find("#no-password").hidden = (await whoAmI().catch(() => null)) !== null;
  form.hidden = true;
  find("#done").hidden = false;
  find("#done [role=status]").textContent = "The new email is confirmed.";
  find("#confirm-title").focus();
});
