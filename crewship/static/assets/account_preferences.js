import { graphql } from "./api.js";
import { find, make } from "./dom.js";
import { onSubmit } from "./form.js";
import { ENTER, WORKSPACE } from "./preferences.js";

const READ = "query Preferences { preferences { key value } viewer { workspaces { id name } } }";
const SET = "mutation Set($input: SetPreferenceInput!) { setPreference(input: $input) { success } }";
const DELETE = "mutation Delete($input: OfPreferenceInput!) { deletePreference(input: $input) { success } }";
const FIELDS = { workspace: WORKSPACE, enter: ENTER };
const OWN = new Set(Object.values(FIELDS));

export async function showPreferences() {
  const { preferences, viewer } = await graphql(READ);
  const form = find("#preferences-form");
  form.elements.workspace.append(...viewer.workspaces.map(({ id, name }) => make("option", { value: id, text: name })));
  for (const [name, key] of Object.entries(FIELDS)) {
    const value = preferences.find((kept) => kept.key === key)?.value;
    if ([...form.elements[name].options].some((option) => option.value === value)) form.elements[name].value = value;
  }
  showOthers(preferences);
  onSubmit(form, async (fields) => {
    find("#preferences-saved").textContent = "";
    for (const [name, key] of Object.entries(FIELDS)) {
      if (fields[name]) await graphql(SET, { input: { key, value: fields[name] } });
      else await graphql(DELETE, { input: { key } });
    }
    find("#preferences-saved").textContent = "Saved.";
  });
}

function showOthers(preferences) {
  const others = preferences.filter(({ key }) => !OWN.has(key));
  find("#kept").hidden = others.length === 0;
  find("#kept .rows").replaceChildren(...others.map(row));
}

function row({ key, value }) {
  const button = make("button", { type: "button", class: "quiet", text: "Remove", ariaLabel: `Remove ${key}` });
  button.onclick = async () => {
    try {
      await graphql(DELETE, { input: { key } });
      showOthers((await graphql(READ)).preferences);
      find("#preferences-title").focus();
    } catch (error) {
      find("#trouble").textContent = error.message;
    }
  };
  return make("li", {}, make("p", {}, make("strong", { text: key }), make("code", { text: JSON.stringify(value) })), button);
}
