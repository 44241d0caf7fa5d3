"use strict";

const DOCUMENT = "/api/openapi.json";

async function show() {
  const response = await fetch(DOCUMENT, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${DOCUMENT} answered ${response.status}`);
  const content = await response.json();
  document.getElementById("reference").replaceChildren(); // whatever is in there would be taken for a server-rendered reference
  Scalar.createApiReference("#reference", {
    content,
    layout: "modern",
    // one field for a token, used by every operation; while it is empty the browser's session cookie signs requests in
    authentication: { preferredSecurityScheme: "bearer" },
    // everything below keeps the reference on this origin: no fonts, proxy, hosted client, assistant or metrics of its vendor
    withDefaultFonts: false,
    proxyUrl: "",
    hideClientButton: true,
    showDeveloperTools: "never",
    agent: { disabled: true },
    mcp: { disabled: true },
    telemetry: false,
    // tokens typed here are gone with the tab
    persistAuth: false,
  });
}

show().catch((error) => {
  document.querySelector("#reference .waiting").textContent = `The API reference cannot be shown: ${error.message}.`;
});
