// oidc-provider on a free port of 127.0.0.1. Says its issuer in a line, then reads one: the client's redirect_uri.
// Anybody signs in with any login and password: the login is the subject.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { exportJWK, generateKeyPair } from "jose";
import * as oidc from "oidc-provider";

const { METHOD, ALGORITHM, SHORT, CLIENT_ID, CLIENT_SECRET } = process.env;
let handle = (_, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));

server.listen(0, "127.0.0.1", async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const key = { ...(await exportJWK(privateKey)), kid: "one", use: "sig", alg: ALGORITHM };
  console.log(issuer);
  createInterface({ input: process.stdin }).once("line", (redirectUri) => {
    const client = {
      client_id: CLIENT_ID,
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: METHOD,
      id_token_signed_response_alg: ALGORITHM,
    };
    const provider = new oidc.Provider(issuer, {
      clients: [METHOD === "none" ? client : { ...client, client_secret: CLIENT_SECRET }],
      clientAuthMethods: [METHOD],
      enabledJWA: { idTokenSigningAlgValues: [ALGORITHM] },
      jwks: { keys: [key] },
      cookies: { keys: ["of tests"] },
      conformIdTokenClaims: SHORT === "true",
      pkce: { required: () => true },
      scopes: ["openid", "email", "profile", "groups"],
      claims: { email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
      findAccount: (_, sub) => ({
        accountId: sub,
        claims: () => ({
          sub,
          email: `${sub}@Corp.example`,
          email_verified: sub !== "unverified",
          name: `Captain ${sub}`,
          groups: ["captains"],
        }),
      }),
    });
    handle = provider.callback();
    console.log("ready");
  });
});
