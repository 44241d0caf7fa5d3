// What a person may do and no screen has a form for: each such mutation becomes a document and a form, from its input in the schema.
import { Kind, print } from "graphql";

/** What is not for people, or what a screen does by another operation. */
const OTHERWISE = new Set([
  "refreshSession", "redeemPairing", "startOauthLoopback", // programs
  "decideApproval", "replaceCrew", "createWorkflowTemplate", "updateWorkflowTemplate", "deleteWorkflowTemplate", "deleteFeedback", // older names
  "saveCrewFile", "saveAgentFile", // files are uploaded
  "addMember", // people are invited
  "markNotificationRead", "markAllNotificationsRead", "deleteNotification", "updateInboxItems", "updateIssues", "restoreCheckpoint",
]);
/** What the schema leaves open, because REST reads a text: what such a field can be. */
const CHOICES = { "createBackup.scope": ["workspace"], "createBackup.scopeLevel": "BackupScopeLevel", "deleteCacheImage.force": ["true"] };

const bare = (type) => (type.kind === Kind.NAMED_TYPE ? type.name.value : bare(type.type));
const isNeeded = ({ type }) => type.kind === Kind.NON_NULL_TYPE;
const isList = (type) => type.kind === Kind.LIST_TYPE || (type.kind === Kind.NON_NULL_TYPE && isList(type.type));
const takes = (field, name) => field.arguments.some((one) => one.name.value === name);
const called = ({ name }) => name.value;

/** The description behind its first sentence, without what only programs need. */
function noteOf(operation, description) {
  const sentences = description.split(/\n\s*\n/).slice(1).filter((part) => !/^(Requires|Errors):/.test(part.trim())).join(" ").replace(/\s+/g, " ").trim().split(/(?<=\.) (?=[A-Z`])/);
  const plain = sentences
    .map((one) => one.replace(/^Idempotent; (.)/, (_, first) => first.toUpperCase()))
    .filter((one) => one !== "Idempotent." && !/updated_at|\b(CONFLICT|UNAVAILABLE|FORBIDDEN|NOT_FOUND|BAD_\w+)\b/.test(one))
    .map((one) => one.replace(/`([\w:.-]+)`|\b([A-Z]+_[A-Z_]+)\b/g, (_, name, value) => `“${(name ?? value).replaceAll("_", " ").toLowerCase()}”`))
    .join(" ");
  if (/`|\b(?!node_modules)\w+_\w/.test(plain)) throw new Error(`the note of ${operation} has words of programs: ${plain}`);
  return plain;
}

/** The documents by their names, and the forms by their mutations: the note, each field of the input, and the row that is changed. */
export function formsOf(schema, known) {
  const types = new Map(schema.definitions.filter(({ name }) => name).map((one) => [one.name.value, one]));
  const isLeaf = (type) => !types.has(type) || [Kind.ENUM_TYPE_DEFINITION, Kind.SCALAR_TYPE_DEFINITION].includes(types.get(type).kind);
  const valuesOf = (type) => (types.get(type)?.kind === Kind.ENUM_TYPE_DEFINITION ? types.get(type).values.map(called) : undefined);
  const fieldsOf = (type) => new Set((types.get(type)?.fields ?? []).map(called));
  const mutations = types.get("Mutation").fields;
  const queries = types.get("Query").fields;
  const gone = [...OTHERWISE].filter((name) => !mutations.some((one) => called(one) === name));
  if (gone.length) throw new Error(`no mutation is called ${gone.join(", ")}`);
  const documents = new Map();
  const forms = {};

  /** What reads a row that is named in the input, and what lists such rows: by the names of the fields of Query. */
  function rowOf(operation, fields, versioned) {
    const at = (query) => operation.toLowerCase().indexOf(called(query).toLowerCase());
    const keyOf = (query) => ["id", "slug"].find((key) => takes(query, key));
    const [one] = queries
      .filter((query) => at(query) > 0 && keyOf(query) && fieldsOf(bare(query.type)).has("version"))
      .sort((a, b) => at(a) - at(b) || called(b).length - called(a).length);
    const key = one && keyOf(one);
    const field = one && (key === "id" ? ["id", `${called(one)}Id`] : [key]).find((name) => fields.some(([given]) => given === name));
    if (!field) {
      if (versioned) throw new Error(`nothing reads the row that ${operation} changes`);
      return undefined;
    }
    const row = fieldsOf(bare(one.type));
    const shown = fields.map(([name]) => name).filter((name) => name !== key && row.has(name) && isLeaf(bare(types.get(bare(one.type)).fields.find((each) => called(each) === name).type)));
    const found = { field };
    if (versioned) {
      found.read = `Of_${operation}`;
      documents.set(found.read, `query ${found.read}($ws: ID, $id: ${key === "id" ? "ID" : "String"}!) { row: ${called(one)}(workspaceId: $ws, ${key}: $id) { ${["__typename", "id", "version", ...shown].join(" ")} } }`);
    }
    const all = field === "id" && queries.find((query) => called(query) === `${called(one)}s` && takes(query, "workspaceId"));
    if (all && row.has("name")) {
      found.list = `All_${called(all)}`;
      const each = `{ ${["__typename", "id", "name", row.has("viewerCan") && "viewerCan"].filter(Boolean).join(" ")} }`;
      const rows = isList(all.type) ? each : `(workspaceId: $ws, first: 200) { __typename nodes ${each} }`;
      documents.set(found.list, `query ${found.list}($ws: ID) { rows: ${called(all)}${isList(all.type) ? `(workspaceId: $ws) ${each}` : rows} }`);
    }
    return found.read || found.list ? found : undefined;
  }

  for (const mutation of mutations) {
    const { arguments: given, type } = mutation;
    const operation = called(mutation);
    if (known.has(operation) || OTHERWISE.has(operation)) continue;
    const input = given.find((one) => called(one) === "input");
    const versioned = takes(mutation, "ifVersion");
    const result = types.get(bare(type));
    const leaves = (fields) => fields.filter((one) => isLeaf(bare(one.type)) && !one.arguments.length).map(called);
    // What an operation finds is a list within its result; the lists of a row are other rows.
    const lists = (result?.fields ?? []).filter((one) => !result.interfaces?.length && isList(one.type) && !one.arguments.length && types.get(bare(one.type))?.fields);
    const within = (one) => [called(one), leaves(types.get(bare(one.type)).fields)];
    const shown = [...leaves(result?.fields ?? []), ...lists.map(within).flatMap(([field, own]) => (own.length ? [`${field} { ${["__typename", ...own].join(" ")} }`] : []))];
    const parts = [
      takes(mutation, "workspaceId") && ["$ws: ID", "workspaceId: $ws"],
      input && [`$input: ${print(input.type)}`, "input: $input"],
      versioned && ["$version: Int", "ifVersion: $version"],
    ].filter(Boolean);
    const [variables, values] = [0, 1].map((at) => (parts.length ? `(${parts.map((part) => part[at]).join(", ")})` : ""));
    const selection = result ? ` { ${["__typename", ...shown].join(" ")} }` : "";
    const id = `Do_${operation}`;
    documents.set(id, `mutation ${id}${variables} { ${operation}${values}${selection} }`);
    const fields = (input ? types.get(bare(input.type)).fields : []).map((field) => {
      const of = bare(field.type);
      const open = CHOICES[`${operation}.${called(field)}`];
      const choices = typeof open === "string" ? valuesOf(open) : (open ?? valuesOf(of));
      const kind = choices ? "choice" : types.get(of)?.kind === Kind.INPUT_OBJECT_TYPE_DEFINITION ? "JSON" : of;
      return [called(field), isList(field.type) ? `${kind}s` : kind, isNeeded(field), ...(choices ? [choices] : [])];
    });
    forms[operation] = { id, note: noteOf(operation, mutation.description.value), fields, row: rowOf(operation, fields, versioned) };
  }
  const lost = Object.keys(CHOICES).filter((name) => !forms[name.split(".")[0]]?.fields.some(([field]) => field === name.split(".")[1]));
  if (lost.length) throw new Error(`no form has ${lost.join(", ")}`);
  return { documents, forms };
}
