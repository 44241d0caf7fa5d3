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

const bare = (type) => (type.kind === Kind.NAMED_TYPE ? type.name.value : bare(type.type));
const isList = (type) => type.kind === Kind.LIST_TYPE || (type.kind === Kind.NON_NULL_TYPE && isList(type.type));

/** The documents, by name of the operation, and their forms: the sentence of the description behind the first, and each field of the input. */
export function formsOf(schema, called) {
  const types = new Map(schema.definitions.filter(({ name }) => name).map((one) => [one.name.value, one]));
  const isLeaf = (type) => !types.has(type) || [Kind.ENUM_TYPE_DEFINITION, Kind.SCALAR_TYPE_DEFINITION].includes(types.get(type).kind);
  const named = new Set(types.get("Mutation").fields.map(({ name }) => name.value));
  const gone = [...OTHERWISE].filter((name) => !named.has(name));
  if (gone.length) throw new Error(`no mutation is called ${gone.join(", ")}`);
  const documents = new Map();
  const forms = {};
  for (const { name, description, arguments: given, type } of types.get("Mutation").fields) {
    if (called.has(name.value) || OTHERWISE.has(name.value)) continue;
    const input = given.find((one) => one.name.value === "input");
    const place = given.some((one) => one.name.value === "workspaceId");
    const result = types.get(bare(type));
    const leaves = (fields) => fields.filter((one) => isLeaf(bare(one.type)) && !one.arguments.length).map((one) => one.name.value);
    // What an operation finds is a list within its result; the lists of a row are other rows.
    const lists = (result?.fields ?? []).filter((one) => !result.interfaces?.length && isList(one.type) && !one.arguments.length && types.get(bare(one.type))?.fields);
    const within = (one) => [one.name.value, leaves(types.get(bare(one.type)).fields)];
    const shown = [...leaves(result?.fields ?? []), ...lists.map(within).flatMap(([field, own]) => (own.length ? [`${field} { ${["__typename", ...own].join(" ")} }`] : []))];
    const variables = [place && "$ws: ID", input && `$input: ${print(input.type)}`].filter(Boolean).join(", ");
    const values = [place && "workspaceId: $ws", input && "input: $input"].filter(Boolean).join(", ");
    const selection = result ? ` { ${["__typename", ...shown].join(" ")} }` : "";
    documents.set(name.value, `mutation Do_${name.value}${variables && `(${variables})`} { ${name.value}${values && `(${values})`}${selection} }`);
    const fields = (input ? types.get(bare(input.type)).fields : []).map((field) => {
      const of = bare(field.type);
      const known = types.get(of);
      const choices = known?.kind === Kind.ENUM_TYPE_DEFINITION ? known.values.map((one) => one.name.value) : undefined;
      const kind = choices ? "choice" : known?.kind === Kind.INPUT_OBJECT_TYPE_DEFINITION ? "JSON" : of;
      return [field.name.value, isList(field.type) ? `${kind}s` : kind, field.type.kind === Kind.NON_NULL_TYPE, ...(choices ? [choices] : [])];
    });
    const note = description.value.split(/\n\s*\n/).slice(1).filter((part) => !/^(Requires|Errors):/.test(part.trim())).join(" ").replace(/\s+/g, " ").trim();
    forms[name.value] = { note, fields };
  }
  return { documents, forms };
}
