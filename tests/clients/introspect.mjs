// The SDL that the introspection of the endpoint at argv[2] describes, as graphql-js prints it.
import { buildClientSchema, getIntrospectionQuery, printSchema } from "graphql";

const everything = { specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true };
const answer = await fetch(process.argv[2], {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query: getIntrospectionQuery(everything) }),
});
console.log(printSchema(buildClientSchema((await answer.json()).data)));
