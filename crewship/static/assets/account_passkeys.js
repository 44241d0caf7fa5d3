import { graphql } from "./api.js";
import { ask } from "./ask.js";
import { find, make, when } from "./dom.js";
import { onSubmit } from "./form.js";
import { browserHasPasskeys, registerPasskey } from "./passkeys.js";

const READ = "query Passkeys { passkeys { id name backedUp createdAt lastUsedAt } passkeyStatus { available required } }";
const RENAME = "mutation Rename($input: RenamePasskeyInput!) { renamePasskey(input: $input) { id } }";
const DELETE = "mutation Delete($input: ByIdInput!) { deletePasskey(input: $input) { id } }";
const REQUIRE = "mutation Require($input: RequirePasskeyInput!) { requirePasskey(input: $input) { required } }";

/** Where there can be none, nothing is said of them. */
export async function showPasskeys() {
  await refresh();
  onSubmit(find("#passkey-form"), async ({ name }, form) => {
    await registerPasskey(name);
    form.reset();
    await refresh();
    tell("The passkey is added.");
  });
  find("#passkey-form").hidden = !browserHasPasskeys();
  onSubmit(find("#require-form"), async ({ required }) => {
    await graphql(REQUIRE, { input: { required: required === "on" } });
    await refresh();
    find("#passkey-required").textContent = "Saved.";
  });
}

async function refresh() {
  const { passkeys, passkeyStatus } = await graphql(READ);
  const none = passkeys.length === 0;
  find("#passkeys").hidden = find("#sections [href='#passkeys']").hidden = none && !passkeyStatus.available;
  find("#passkeys .rows").replaceChildren(...passkeys.map(row));
  find("#passkeys .none").hidden = !none;
  find("#require").hidden = none && !passkeyStatus.required;
  find("#require-form [name=required]").checked = passkeyStatus.required;
  find("#passkey-required").textContent = "";
}

function tell(text) {
  find("#news").textContent = text;
  find("#passkeys-title").focus();
}

function row(passkey) {
  const { name, backedUp, createdAt, lastUsedAt } = passkey;
  const heading = make("strong", { text: name });
  if (backedUp) heading.append(" ", make("span", { class: "tag", text: "backed up" }));
  const seen = `added ${when(createdAt)} · ${lastUsedAt ? `used ${when(lastUsedAt)}` : "never used"}`;
  const buttons = make("p", { class: "row" }, button("Rename", passkey, rename), button("Delete", passkey, remove));
  return make("li", {}, make("p", {}, heading, make("span", { text: seen })), buttons);
}

function button(text, passkey, action) {
  const made = make("button", { type: "button", class: "quiet", text, ariaLabel: `${text} ${passkey.name}` });
  made.onclick = () => action(passkey).catch((error) => (find("#passkey-trouble").textContent = error.message));
  return made;
}

async function rename({ id, name }) {
  find("#passkey-trouble").textContent = "";
  const field = make("label", { text: "Name" }, make("input", { name: "name", value: name, autocomplete: "off" }));
  const chosen = await ask({ title: `Rename ${name}`, text: "", yes: "Rename", fields: [field] });
  if (!chosen) return;
  await graphql(RENAME, { input: { id, name: chosen.name } });
  await refresh();
  tell("The passkey is renamed.");
}

async function remove({ id, name }) {
  find("#passkey-trouble").textContent = "";
  if (!(await ask({ title: `Delete ${name}?`, text: "You can no longer sign in with it.", yes: "Delete", final: true }))) return;
  await graphql(DELETE, { input: { id } });
  await refresh();
  tell("The passkey is deleted.");
}
