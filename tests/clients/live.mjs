// Queries, mutations and subscriptions with a client of others. argv: client, endpoint, token, workspace.
// Prints what the client saw, once it has heard three events.
import { createClient as createSocket } from "graphql-ws";
import { createClient as createEventStream } from "graphql-sse";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket; // Node.js has one of its own from version 22 on, and clients look for it

const [client, endpoint, token, ws] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const HEARD = 3;
const VIEWER = "query Viewer { viewer { email } }";
const LABEL = "mutation Label($ws: ID!, $name: String!) { createLabel(workspaceId: $ws, input: { name: $name, color: \"#123456\" }) { id name } }";
const EVENTS = `subscription Events($ws: ID!) {
  workspaceEvents(workspaceId: $ws) { __typename ... on Event { cursor } ...Crew }
}
fragment Crew on CrewCreatedEvent { name slug }`;

const socket = () => createSocket({ url: endpoint.replace(/^http/, "ws"), connectionParams: { authorization }, retryAttempts: 0 });
const eventStream = () => createEventStream({ url: `${endpoint}/stream`, headers: { authorization }, retryAttempts: 0 });

// graphql-ws and graphql-sse share their interface: the first answer, or as many as are wanted.
async function answers(transport, query, variables, wanted = 1) {
  const found = [];
  for await (const answer of transport.iterate({ query, variables })) {
    found.push(answer);
    if (found.length === wanted) break;
  }
  return found;
}

function plain(make) {
  return async () => {
    const transport = make();
    return {
      ask: async (query, variables) => (await answers(transport, query, variables))[0],
      listen: (query, variables) => answers(transport, query, variables, HEARD),
      end: () => transport.dispose(),
    };
  };
}

async function urql(streaming) {
  const { Client, fetchExchange, subscriptionExchange } = await import("@urql/core");
  const transport = socket();
  const forward = (request, operation) => ({ subscribe: (sink) => ({ unsubscribe: transport.subscribe({ ...request, query: request.query ?? "" }, sink) }) });
  const exchanges = streaming ? [fetchExchange] : [subscriptionExchange({ forwardSubscription: forward }), fetchExchange];
  const made = new Client({ url: endpoint, exchanges, fetchOptions: { headers: { authorization } }, fetchSubscriptions: streaming, preferGetMethod: false });
  const shown = ({ data, error }) => (error?.graphQLErrors.length ? { data, errors: error.graphQLErrors } : { data });
  return {
    ask: async (query, variables) => {
      if (query.startsWith("subscription")) return (await listen(query, variables, 1))[0];
      return shown(await (query.startsWith("query") ? made.query(query, variables) : made.mutation(query, variables)).toPromise());
    },
    listen: (query, variables) => listen(query, variables, HEARD),
    end: () => transport.dispose(),
  };
  function listen(query, variables, wanted) {
    return new Promise((resolve) => {
      const found = [];
      const { unsubscribe } = made.subscription(query, variables, streaming ? { url: `${endpoint}/stream` } : {}).subscribe((answer) => {
        found.push(shown(answer));
        if (found.length === wanted) {
          resolve(found);
          setTimeout(() => unsubscribe());
        }
      });
    });
  }
}

async function apollo(streaming) {
  const { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql, CombinedGraphQLErrors } = await import("@apollo/client");
  const { GraphQLWsLink } = await import("@apollo/client/link/subscriptions");
  const { OperationTypeNode } = await import("graphql");
  const transport = socket();
  const http = new HttpLink({ uri: endpoint, headers: { authorization } });
  const link = streaming ? http : ApolloLink.split(({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION, new GraphQLWsLink(transport), http);
  const made = new ApolloClient({ link, cache: new InMemoryCache({ possibleTypes: { Event: ["CrewCreatedEvent"] } }) });
  const shown = ({ data, error }) => (CombinedGraphQLErrors.is(error) ? { data, errors: error.errors } : error ? { failed: String(error) } : { data });
  return {
    ask: async (query, variables) => {
      const document = gql(query);
      if (query.startsWith("subscription")) return (await listen(query, variables, 1))[0];
      const options = { variables, errorPolicy: "all" };
      return shown(await (query.startsWith("query") ? made.query({ query: document, ...options }) : made.mutate({ mutation: document, ...options })));
    },
    listen: (query, variables) => listen(query, variables, HEARD),
    end: () => (made.stop(), transport.dispose()),
  };
  function listen(query, variables, wanted) {
    return new Promise((resolve) => {
      const found = [];
      const subscription = made.subscribe({ query: gql(query), variables, errorPolicy: "all" }).subscribe((answer) => {
        found.push(shown(answer));
        if (found.length === wanted) {
          resolve(found);
          setTimeout(() => subscription.unsubscribe());
        }
      });
    });
  }
}

const CLIENTS = {
  "graphql-ws": plain(socket),
  "graphql-sse": plain(eventStream),
  "urql-ws": () => urql(false),
  "urql-sse": () => urql(true),
  "apollo-ws": () => apollo(false),
  "apollo-multipart": () => apollo(true),
};

const used = await CLIENTS[client]();
const viewer = await used.ask(VIEWER);
const label = await used.ask(LABEL, { ws, name: client });
let refused;
try {
  refused = await used.ask(EVENTS, { ws: "other" });
} catch (errors) {
  refused = { errors };
}
const heard = await used.listen(EVENTS, { ws });
const seen = {
  viewer: viewer.data?.viewer.email,
  label: label.data?.createLabel.name,
  refused: refused.errors?.[0].extensions.code,
  events: heard.map(({ data }) => data?.workspaceEvents),
};
console.log(JSON.stringify(seen));
await used.end();
setTimeout(() => process.exit(0), 50).unref();
