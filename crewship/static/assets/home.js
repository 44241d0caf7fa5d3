import { call, graphql } from "./api.js";
import { find } from "./dom.js";
import { clearFaults, onSubmit, showFaults } from "./form.js";
import { browserHasPasskeys, signInWithPasskey } from "./passkeys.js";
import { showProviders } from "./providers.js";
import { returnPath } from "./return_path.js";
import { readSetup, signIn, signInRefusal, whoAmI } from "./session.js";

const SIGN_UP = "mutation SignUp($input: SignUpInput!) { signup(input: $input) { id } }";
const parameters = new URLSearchParams(location.search);
const destination = returnPath(parameters.get("callbackUrl"), location.origin);
const panels = document.querySelectorAll(".panel[id]");

function show(id, focus = false) {
  for (const panel of panels) panel.hidden = panel.id !== id;
  find("#cards").hidden = false; // not before it is known whether this is the page to be on
  if (focus) find(`#${id} h2`)?.focus();
}

async function refresh(focus = false) {
  try {
    if (await whoAmI()) return goOn();
    showHealth();
    const { needsBootstrap, allowSignup, providers } = await readSetup();
    // the printed link brings its secret in the fragment, which is sent to nobody
    if (needsBootstrap) return location.replace(`/welcome${location.hash}`);
    find("#offer-account").hidden = !allowSignup;
    showProviders(find("#login .providers ul"), providers, destination);
    find("#use-passkey").hidden = !browserHasPasskeys();
    find("#login .providers").hidden = providers.length === 0 && !browserHasPasskeys();
    show("login", focus);
  } catch (error) {
    find("#unavailable [role=alert]").textContent = error.message;
    show("unavailable", focus);
  }
}

const goOn = () => location.replace(destination);

onSubmit(find("#login form"), async ({ email, password }, form) => {
  await signIn(email, password);
  form.reset();
  goOn();
});

find("#use-passkey").onclick = async () => {
  clearFaults(find("#login form"));
  try {
    await signInWithPasskey();
    goOn();
  } catch (error) {
    showFaults(find("#login form"), error);
  }
};

onSubmit(find("#account form"), async (input) => {
  await graphql(SIGN_UP, { input });
  location.assign(/^\/(console\/?)?$/.test(destination) ? "/welcome" : destination);
});

find("#retry").addEventListener("click", () => refresh(true));
find("#offer-account button").addEventListener("click", () => show("account", true));
find("#offer-login").addEventListener("click", () => show("login", true));

async function showHealth() {
  try {
    const { status, uptime } = await call("GET", "/healthz");
    find("#health").textContent = `${status}, up ${uptime}`;
  } catch (error) {
    find("#health").textContent = error.message;
  }
}

if (parameters.has("error")) find("#login .refusal").textContent = signInRefusal(parameters.get("error"));
refresh();
