import { returnPath } from "./return_path.js";

const VIEWER = "query Workspaces { viewer { workspaces { id name slug } } }";

const parameters = new URLSearchParams(location.search);
// of the link that the server prints on its first start; a fragment is sent to nobody
const setupToken = new URLSearchParams(location.hash.slice(1)).get("setup_token");
const destination = returnPath(parameters.get("callbackUrl"), location.origin);
const panels = document.querySelectorAll(".panel[id]");
const find = (selector) => document.querySelector(selector);

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON of an answer; a Refusal with status 0 when nothing answered, else with the API's own reason. */
async function call(method, path, body) {
  const headers = { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, { method, headers, credentials: "same-origin", body: body && JSON.stringify(body) });
  } catch {
    throw new Refusal(0, "The server cannot be reached.");
  }
  const answer = await response.json().catch(() => null);
  if (response.status === 429) throw new Refusal(429, "Too many attempts. Wait a minute, then try again.");
  if (!response.ok) throw new Refusal(response.status, answer?.error ?? answer?.detail ?? `${path} answered ${response.status}.`);
  if (answer === null) throw new Refusal(response.status, `${path} did not answer with JSON.`);
  return answer;
}

function show(id, focus = false) {
  for (const panel of panels) panel.hidden = panel.id !== id;
  if (focus) find(`#${id} h2`)?.focus();
}

async function refresh(focus = false) {
  try {
    const session = await call("GET", "/api/auth/session");
    if (session.user) return await showSignedIn(session.user, focus);
    const setup = await call("GET", "/api/v1/system/setup-status");
    if (setup.needs_bootstrap) return showAccountForm("/api/v1/bootstrap", focus);
    find("#offer-account").hidden = !setup.allow_signup;
    show("login", focus);
  } catch (error) {
    find("#unavailable [role=alert]").textContent = error.message;
    show("unavailable", focus);
  }
}

function showAccountForm(action, focus) {
  const first = action === "/api/v1/bootstrap";
  find("#account form").dataset.action = action;
  find("#account-title").textContent = first ? "Create the first user" : "Create an account";
  find("#first-user").hidden = !first;
  find("#offer-login").hidden = first;
  show("account", focus);
}

async function showSignedIn(user, focus) {
  find("#signed-in-title").textContent = user.name ? `Signed in as ${user.name} (${user.email})` : `Signed in as ${user.email}`;
  find("#onward").hidden = destination === "/";
  find("#onward a").href = destination;
  find("#onward a").textContent = `Continue to ${destination}`;
  find("#workspaces").replaceChildren();
  find("#workspaces-note").textContent = "Loading …";
  show("signed-in", focus);
  try {
    const { data, errors } = await call("POST", "/graphql", { query: VIEWER });
    if (errors?.length) throw new Refusal(200, errors[0].message);
    const workspaces = data.viewer.workspaces;
    find("#workspaces").replaceChildren(...workspaces.map(workspaceItem));
    find("#workspaces-note").textContent = workspaces.length ? "" : "None: an owner of a workspace can add you.";
  } catch (error) {
    find("#workspaces-note").textContent = `They cannot be listed: ${error.message}`;
  }
}

function workspaceItem({ id, name, slug }) {
  const item = document.createElement("li");
  const title = document.createElement("span");
  title.textContent = `${name} (${slug})`;
  const code = document.createElement("code");
  code.textContent = id;
  item.append(title, code);
  return item;
}

/** Runs `send` with the form's fields; a refusal appears in the form and the fields stay as typed. */
function onSubmit(selector, send) {
  const form = find(`${selector} form`);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const refusal = form.querySelector(".refusal");
    refusal.textContent = "";
    button.disabled = true;
    try {
      await send(Object.fromEntries(new FormData(form)), form);
      form.reset();
    } catch (error) {
      refusal.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

function loginRefusal(code) {
  if (code === "CredentialsSignin") return "Email or password is wrong.";
  // the code may come from the address, where anybody can put a sentence
  return /^[A-Za-z_]{1,40}$/.test(code) ? `Signing in failed (${code}).` : "Signing in failed.";
}

onSubmit("#login", async ({ email, password }) => {
  const { csrfToken } = await call("GET", "/api/auth/csrf");
  const answer = await call("POST", "/api/auth/callback/credentials", { email, password, csrfToken, redirect: "false" });
  if (answer.error || !answer.ok) throw new Refusal(200, loginRefusal(answer.error));
  if (destination !== "/") location.assign(destination);
  else await refresh(true);
});

onSubmit("#account", async (fields, form) => {
  const body = setupToken && form.dataset.action === "/api/v1/bootstrap" ? { ...fields, setup_token: setupToken } : fields;
  const answer = await call("POST", form.dataset.action, body);
  if (!answer.cli_token) return refresh(true);
  find("#token-value").textContent = answer.cli_token;
  show("token", true);
});

find("#copy-token").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(find("#token-value").textContent);
    find("#copied").textContent = "Copied.";
  } catch {
    // browsers give the clipboard to secure origins only
    getSelection().selectAllChildren(find("#token-value"));
    find("#copied").textContent = "Selected: copy it with the keyboard.";
  }
});

find("#token-kept").addEventListener("click", () => {
  find("#token-value").textContent = "";
  refresh(true);
});

find("#sign-out").addEventListener("click", async () => {
  const refusal = find("#signed-in .refusal");
  refusal.textContent = "";
  try {
    await call("POST", "/api/auth/signout");
    await refresh(true);
  } catch (error) {
    refusal.textContent = error.message;
  }
});

find("#retry").addEventListener("click", () => refresh(true));
find("#offer-account button").addEventListener("click", () => showAccountForm("/api/v1/auth/signup", true));
find("#offer-login button").addEventListener("click", () => show("login", true));

async function showHealth() {
  try {
    const { status, uptime } = await call("GET", "/healthz");
    find("#health").textContent = `${status}, up ${uptime}`;
  } catch (error) {
    find("#health").textContent = error.message;
  }
}

if (location.pathname === "/login") document.title = "Sign in · Crewship";
if (parameters.has("error")) find("#login .refusal").textContent = loginRefusal(parameters.get("error"));
showHealth();
refresh();
