import type { IssueSettingsQuery } from "../../generated/types";
import { texts } from "../../lib/texts";
import { PRIORITIES } from "../issues/states";

type Options = (readonly [string, string])[];
export const crewsOf = ({ crews }: IssueSettingsQuery): Options => (crews?.nodes ?? []).map(({ id, name }) => [id, name]);
export const agentsOf = ({ agents }: IssueSettingsQuery): Options => (agents?.nodes ?? []).map(({ id, name }) => [id, name]);
export const membersOf = ({ members }: IssueSettingsQuery): Options => (members ?? []).map(({ user }) => [user.id, user.fullName ?? user.email]);
export const projectsOf = ({ projects }: IssueSettingsQuery): Options => (projects ?? []).map(({ id, name }) => [id, name]);
export const prioritiesOf = (): Options => PRIORITIES.map((one) => [one, texts.issues.priorities[one]]);
