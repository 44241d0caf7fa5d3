import { graphql } from "./api.js";
import { find, make } from "./dom.js";
import { clearFaults, copy, onSubmit, showFaults } from "./form.js";
import { CHOSEN } from "./preferences.js";
import { readSetup, signInFirst, whoAmI } from "./session.js";

const BOOTSTRAP = "mutation Bootstrap($input: BootstrapInput!) { bootstrap(input: $input) { cliToken } }";
const STATUS = "mutation Status { refreshOnboardingStatus { completed } }";
const SET_UP = "mutation SetUp($input: SetUpOnboardingInput!) { setUpOnboarding(input: $input) { workspaceId agentId } }";
const AGENT = "query Agent($ws: ID!, $id: ID!) { agent(workspaceId: $ws, id: $id) { slug } }";
const JOINED = "query Joined { viewer { memberships { acceptedAt workspace { id name } } } }";
const TEMPLATES = "query Templates($ws: ID!) { crewTemplates(workspaceId: $ws) { slug name description category agents { name } } }";
const SKIP = "mutation Skip { completeOnboarding { status } }";
const KEYS = { ANTHROPIC: "Token of Claude Code", OPENAI: "API key" };

// of the link that the server prints on its first start; a fragment is sent to nobody
const setupToken = new URLSearchParams(location.hash.slice(1)).get("setup_token");
const chosen = {};
const templates = new Map();

function show(id, focus = true) {
  for (const panel of document.querySelectorAll(".panel[id]")) panel.hidden = panel.id !== id;
  for (const step of document.querySelectorAll("#steps li")) {
    if (step.dataset.step === (id === "token" ? "user" : id)) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  }
  find("#steps").hidden = !find("#steps [aria-current]");
  if (focus) find(`#${id} h2`).focus();
}

async function begin(focus = false) {
  try {
    const viewer = await whoAmI();
    if (viewer) await welcome(viewer, focus);
    else if ((await readSetup()).needsBootstrap) show("user", focus);
    else signInFirst();
  } catch (error) {
    find("#unavailable [role=alert]").textContent = error.message;
    show("unavailable");
  }
}

async function welcome(viewer, focus) {
  const { completed } = (await graphql(STATUS)).refreshOnboardingStatus;
  if (completed || !viewer.workspaces.length) return location.replace("/");
  const { memberships } = (await graphql(JOINED)).viewer;
  // the one that the caller has belonged to for the longest time: where somebody else has put them is not theirs to set up
  const workspace = memberships.filter(({ acceptedAt }) => acceptedAt).at(-1)?.workspace;
  if (!workspace) return location.replace("/");
  offer((await graphql(TEMPLATES, { ws: workspace.id })).crewTemplates);
  find("[name=workspaceName]").value = workspace.name;
  show("workspace", focus);
}

function offer(found) {
  const groups = new Map();
  for (const template of found) {
    templates.set(template.slug, template);
    const label = template.category[0] + template.category.slice(1).toLowerCase();
    if (!groups.has(label)) groups.set(label, make("optgroup", { label }));
    groups.get(label).append(make("option", { value: template.slug, text: template.name }));
  }
  find("[name=crewTemplateSlug]").append(...groups.values());
}

find("[name=crewTemplateSlug]").onchange = ({ target }) => {
  const template = templates.get(target.value);
  const [about, crew] = [find("#template-about"), find("[name=crewName]")];
  about.hidden = !template;
  about.textContent = template ? `${template.description} Agents: ${template.agents.map(({ name }) => name).join(", ")}.` : "";
  if (["", "First crew", ...[...templates.values()].map(({ name }) => name)].includes(crew.value)) crew.value = template?.name ?? "First crew";
  find("#agent-name").hidden = Boolean(template);
  for (const other of document.querySelectorAll("[name=llmProvider]")) {
    other.closest("label").hidden = Boolean(template) && !["", "ANTHROPIC"].includes(other.value); // the agents of templates work with Anthropic
  }
  if (find("[name=llmProvider]:checked").closest("label").hidden) find("[name=llmProvider][value='']").click();
  clearFaults(find("#agent-form"));
};

onSubmit(find("#user-form"), async ({ fullName, email, password }, form) => {
  const input = { fullName, email, password, ...(setupToken && { setupToken }) };
  const { cliToken } = (await graphql(BOOTSTRAP, { input })).bootstrap;
  history.replaceState(null, "", location.pathname);
  form.reset();
  find("#token-value").textContent = cliToken;
  show("token");
});

find("#copy-token").onclick = () => copy(find("#token-value"), find("#copied"));
find("#token-kept").onclick = () => {
  find("#token-value").textContent = "";
  begin(true);
};

onSubmit(find("#workspace-form"), async ({ workspaceName, preferredLanguage, telemetryOptIn }) => {
  Object.assign(chosen, { workspaceName, preferredLanguage, telemetryOptIn: telemetryOptIn === "on" || undefined });
  show("agent");
});
find("#back").onclick = () => show("workspace");

find("fieldset").onchange = ({ target }) => {
  find("#key").hidden = !(target.value in KEYS);
  find("#key span").textContent = KEYS[target.value] ?? "";
  find("#key input").value = "";
  clearFaults(find("#agent-form"));
};

onSubmit(find("#agent-form"), async ({ crewTemplateSlug, crewName, agentName, llmProvider, credentialValue }) => {
  const madeOf = crewTemplateSlug ? { crewTemplateSlug } : { agentName };
  const input = { ...chosen, crewName, ...madeOf, ...(llmProvider && { llmProvider }), ...(credentialValue && { credentialValue }) };
  const made = await setUp(input);
  if (made) await openChat(made);
});

async function openChat({ workspaceId, agentId }) {
  const { agent } = await graphql(AGENT, { ws: workspaceId, id: agentId });
  localStorage.setItem(CHOSEN, workspaceId);
  location.assign(`/#${new URLSearchParams({ agent: agent.slug })}`);
}

/** What was set up; null where the reason why not is about the step before, which then shows it. */
async function setUp(input) {
  try {
    return (await graphql(SET_UP, { input })).setUpOnboarding;
  } catch (error) {
    const fields = Object.keys(error.extensions?.fields ?? {});
    if (!fields.some((name) => /^(workspace|preferred)/.test(name))) throw error;
    show("workspace", false);
    showFaults(find("#workspace-form"), error);
    return null;
  }
}

find("#skip").onclick = async () => {
  try {
    await graphql(SKIP);
    location.assign("/");
  } catch (error) {
    showFaults(find("#agent-form"), error);
  }
};

document.addEventListener("signed-out", () => signInFirst());
begin();
