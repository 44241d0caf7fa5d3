import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const REQUEST = "mutation Forgot($input: RequestPasswordResetInput!) { requestPasswordReset(input: $input) { message } }";

onSubmit(find("#forgot-form"), async ({ email }, form) => {
  const { requestPasswordReset } = await graphql(REQUEST, { input: { email } });
  form.hidden = true;
  find("#sent").textContent = requestPasswordReset.message;
  find("#forgot-title").focus();
});
