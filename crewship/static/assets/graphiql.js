"use strict";

const FIRST_QUERY = `# Who am I? Ctrl-Enter runs this.
# Ctrl-Space completes; the icons on the left
# open the schema and a query builder.
#
# Signed in here, your session is sent along.
# Otherwise put a token into "Headers" below:
#
#   {
#     "Authorization": "Bearer crewship_cli_…",
#     "X-Workspace-ID": "<id or slug>"
#   }
#
# X-Workspace-ID chooses the workspace of
# operations that do not name one themselves.

query Viewer {
  viewer {
    email
    workspaces { name slug currentUserRole }
  }
}
`;

const element = React.createElement;
const parameters = new URLSearchParams(location.search);

const fetcher = GraphiQL.createFetcher({
  url: "/graphql",
  fetch: (input, init) => fetch(input, { ...init, credentials: "same-origin" }),
  enableIncrementalDelivery: false,
});

const hint = element(
  "p",
  { className: "authentication-hint" },
  "Not signed in? Headers: ",
  element("code", null, '{"Authorization": "Bearer …", "X-Workspace-ID": "…"}'),
);

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  element(
    GraphiQL,
    {
      fetcher,
      plugins: [GraphiQLPluginExplorer.explorerPlugin()],
      query: parameters.get("query") ?? undefined,
      variables: parameters.get("variables") ?? undefined,
      defaultQuery: FIRST_QUERY,
      defaultEditorToolsVisibility: "headers",
      isHeadersEditorEnabled: true,
      // headers hold tokens: never offer to keep them in the browser's storage
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
    },
    element(GraphiQL.Logo, null, element("a", { className: "graphiql-logo-link", href: "/" }, "Crewship")),
    element(GraphiQL.Footer, null, hint),
  ),
);
