import { Issue } from "../../generated/Issue";
import { IssueBoard } from "../../generated/IssueBoard";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";
import { filtersOf } from "./filters";

const known = (document: unknown) => document as Known<unknown, never>;

export const ISSUES: readonly Listed[] = [
  {
    name: "issues",
    path: "issues",
    title: texts.issues.title,
    letter: "i",
    icon: "M3 4h4v12H3zM8.5 4h4v8h-4zM14 4h3v5h-3z",
    load: () => import("./Issues.svelte"),
    document: known(IssueBoard),
    variables: (ws, _parameters, query) => filtersOf(ws, query),
  },
  {
    name: "issues/issue",
    path: "issues/:identifier",
    title: texts.issue.title,
    load: () => import("../issue/Issue.svelte"),
    document: known(Issue),
    variables: (ws, { identifier }) => ({ ws, identifier }),
  },
];
