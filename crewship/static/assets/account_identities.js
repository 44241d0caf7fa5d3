import { graphql } from "./api.js";
import { ask } from "./ask.js";
import { find, make, when } from "./dom.js";

const READ = "query Identities { linkedIdentities { id provider issuer email subject usedAt } signInProviders { id name } }";
const UNLINK = "mutation Unlink($input: ByIdInput!) { unlinkIdentity(input: $input) { id } }";

export async function showIdentities() {
  const { linkedIdentities: identities, signInProviders: providers } = await graphql(READ);
  const names = new Map(providers.map(({ id, name }) => [id, name]));
  find("#identities").hidden = find("#sections [href='#identities']").hidden = identities.length === 0;
  find("#identities .rows").replaceChildren(...identities.map((identity) => row(identity, names.get(identity.provider) ?? identity.issuer)));
}

function row({ id, email, subject, usedAt }, name) {
  const button = make("button", { type: "button", class: "quiet", text: "Unlink", ariaLabel: `Unlink ${name}` });
  button.onclick = () => unlink(id, name).catch((error) => (find("#trouble").textContent = error.message));
  return make("li", {}, make("p", {}, make("strong", { text: name }), make("span", { text: `${email ?? subject} · used ${when(usedAt)}` })), button);
}

async function unlink(id, name) {
  if (!(await ask({ title: `Unlink ${name}?`, text: `You can no longer sign in with ${name}.`, yes: "Unlink", final: true }))) return;
  await graphql(UNLINK, { input: { id } });
  await showIdentities();
  find("#news").textContent = "The account is unlinked.";
  find("#account-title").focus();
}
