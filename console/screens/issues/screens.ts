import { Issue } from "../../generated/Issue";
import { IssueBoard } from "../../generated/IssueBoard";
import { IssueProject } from "../../generated/IssueProject";
import { IssueProjects } from "../../generated/IssueProjects";
import { IssueSettings } from "../../generated/IssueSettings";
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
    name: "issues/projects",
    path: "issues/projects",
    title: texts.projects.title,
    load: () => import("../projects/Projects.svelte"),
    document: known(IssueProjects),
  },
  {
    name: "issues/project",
    path: "issues/projects/:id",
    title: texts.projects.one,
    load: () => import("../project/Project.svelte"),
    document: known(IssueProject),
    variables: (ws, { id }) => ({ ws, id }),
  },
  {
    name: "issues/settings",
    path: "issues/settings",
    title: texts.issueSettings.title,
    load: () => import("../issue-settings/IssueSettings.svelte"),
    document: known(IssueSettings),
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
