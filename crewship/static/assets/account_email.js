import { graphql } from "./api.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const CHANGE = "mutation ChangeEmail($input: ChangeEmailInput!) { changeEmail(input: $input) { message } }";

export async function showEmail() {
  onSubmit(find("#email-form"), async ({ email, password }, form) => {
    find("#email-asked").textContent = "";
    const { message } = (await graphql(CHANGE, { input: { email, password } })).changeEmail;
    form.reset();
    find("#email-asked").textContent = message;
  });
}
