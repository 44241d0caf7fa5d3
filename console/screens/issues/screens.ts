import { Issue } from "../../generated/Issue";
import { IssueBoard } from "../../generated/IssueBoard";
import { IssueProject } from "../../generated/IssueProject";
import { IssueProjects } from "../../generated/IssueProjects";
import { IssueSettings } from "../../generated/IssueSettings";
import { screen, type Listed } from "../../lib/listed";
import { texts } from "../../lib/texts";
import { filtersOf } from "./filters";

const icon = "M3 4h4v12H3zM8.5 4h4v8h-4zM14 4h3v5h-3z";

export const ISSUES: readonly Listed[] = [
  screen("issues", texts.issues.title, () => import("./Issues.svelte"), IssueBoard, { letter: "i", icon, variables: filtersOf }),
  screen("issues/projects", texts.projects.title, () => import("../projects/Projects.svelte"), IssueProjects),
  screen("issues/projects/:id", texts.projects.one, () => import("../project/Project.svelte"), IssueProject),
  screen("issues/settings", texts.issueSettings.title, () => import("../issue-settings/IssueSettings.svelte"), IssueSettings),
  screen("issues/:identifier", texts.issue.title, () => import("../issue/Issue.svelte"), Issue),
];
