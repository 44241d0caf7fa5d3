import { Refusal, call } from "./api.js";
import { find } from "./dom.js";
import { returnPath } from "./return_path.js";
import { Workbench } from "./workbench.js";

const parameters = new URLSearchParams(location.search);
// of the link that the server prints on its first start; a fragment is sent to nobody
const setupToken = new URLSearchParams(location.hash.slice(1)).get("setup_token");
const destination = returnPath(parameters.get("callbackUrl"), location.origin);
const panels = document.querySelectorAll(".panel[id], #workbench");
const workbench = new Workbench();

function show(id, focus = false) {
  for (const panel of panels) panel.hidden = panel.id !== id;
  document.body.dataset.view = id === "workbench" ? "workbench" : "door";
  if (focus) find(`#${id} h2`)?.focus();
}

async function refresh(focus = false) {
  try {
    const session = await call("GET", "/api/auth/session");
    if (session.user) return await showSignedIn(focus);
    workbench.close();
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

async function showSignedIn(focus) {
  find("#onward").hidden = destination === "/";
  find("#onward a").href = destination;
  find("#onward a").textContent = `Continue to ${destination}`;
  show("workbench", focus);
  find("#crew-refusal").textContent = "";
  try {
    await workbench.open();
  } catch (error) {
    find("#crew-refusal").textContent = `What is here cannot be read: ${error.message}`;
  }
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
  if (setupToken) history.replaceState(null, "", location.pathname + location.search);
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
  try {
    await call("POST", "/api/auth/signout");
    await refresh(true);
  } catch (error) {
    find("#crew-refusal").textContent = error.message;
  }
});

document.addEventListener("signed-out", () => refresh(true));
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
