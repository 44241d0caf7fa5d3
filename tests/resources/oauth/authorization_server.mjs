// oidc-provider on a free port of 127.0.0.1, as the authorization server of an MCP server at /mcp of the same origin.
// Says its issuer in a line. Anybody signs in; clients register themselves; refresh tokens are good once.
import { createServer } from "node:http";
import * as oidc from "oidc-provider";

let handle = (_, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));

server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const resource = `${issuer}/mcp`;
  const provider = new oidc.Provider(issuer, {
    clientAuthMethods: ["none"],
    cookies: { keys: ["of tests"] },
    features: {
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: "tools", audience: resource, accessTokenFormat: "opaque" }),
        useGrantedResource: () => true,
      },
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    issueRefreshToken: () => true,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    scopes: ["openid", "offline_access", "tools"],
  });
  const answers = provider.callback();
  handle = (request, response) => {
    const path = request.url.split("?")[0];
    if (path !== "/.well-known/oauth-protected-resource/mcp") return answers(request, response);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ resource, authorization_servers: [issuer] }));
  };
  console.log(issuer);
});
