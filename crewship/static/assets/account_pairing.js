import { graphql } from "./api.js";
import { showTokens } from "./account_tokens.js";
import { find } from "./dom.js";
import { onSubmit } from "./form.js";

const START = "mutation Start($input: StartPairingInput!) { startPairing(input: $input) { code expiresAt } }";
const STATE = "query State($code: String!) { pairing(code: $code) { status expiresAt } }";
const PAUSE = 2000; // milliseconds
const SAID = { PENDING: "Waiting for the command line …", CONSUMED: "Paired: the command line has its token.", EXPIRED: "The code has expired. Get another one." };

let watched = "";

export async function showPairing() {
  onSubmit(find("#pairing-form"), async () => {
    const { code } = (await graphql(START, { input: {} })).startPairing;
    watched = code;
    find("#code-value").textContent = code;
    find("#code").hidden = false;
    find("#code-title").focus();
    say(SAID.PENDING);
    setTimeout(() => watch(code), PAUSE);
  });
}

const say = (text) => {
  if (find("#code-state").textContent !== text) find("#code-state").textContent = text;
};

async function watch(code) {
  if (watched !== code) return;
  try {
    const status = (await graphql(STATE, { code })).pairing.status.toUpperCase();
    say(SAID[status] ?? status);
    if (status === "PENDING") return void setTimeout(() => watch(code), PAUSE);
    find("#code-value").textContent = "";
    if (status === "CONSUMED") await showTokens();
  } catch (error) {
    say(error.message);
  }
}
