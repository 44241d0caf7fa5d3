// The GraphQL-over-HTTP audits of graphql-http against the endpoint at argv[2]: one JSON object a line.
import { auditServer } from "graphql-http";

for (const result of await auditServer({ url: process.argv[2] })) {
  console.log(JSON.stringify({ id: result.id, name: result.name, status: result.status, reason: result.reason ?? null }));
}
