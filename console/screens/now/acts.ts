import { Answer } from "../../generated/Answer";
import { AnswerApproval } from "../../generated/AnswerApproval";
import { ContinuePaused } from "../../generated/ContinuePaused";
import { DecideTask } from "../../generated/DecideTask";
import { HandOver } from "../../generated/HandOver";
import { PauseAgain } from "../../generated/PauseAgain";
import { RaiseBudget } from "../../generated/RaiseBudget";
import { RenewCredential } from "../../generated/RenewCredential";
import { Resume } from "../../generated/Resume";
import { Review } from "../../generated/Review";
import { SetItem } from "../../generated/SetItem";
import { TakeBack } from "../../generated/TakeBack";
import { CancelStuck } from "../../generated/CancelStuck";
import { RetryFailed } from "../../generated/RetryFailed";
import type { NowQuery } from "../../generated/types";
import { change } from "../../lib/client";
import { texts as all } from "../../lib/texts";

const texts = all.now;

export type Entry = NonNullable<NowQuery["attention"]>["nodes"][number];
type Subject = NonNullable<Entry["subject"]>;
export type Of<Name extends Subject["__typename"]> = Extract<Subject, { __typename: Name }>;

/** What a person can do about an entry. */
export interface Act {
  name: string;
  /** The field of Mutation: a person who may not call it does not see the act. */
  operation: string;
  primary?: boolean;
  danger?: boolean;
  /** What has to be written first; `field`: its name in the input. */
  ask?: { field: string; label: string; kind: "text" | "secret" | "amount" | "agent" | "person"; required: boolean; value?: string };
  /** Does it; returns what takes it back, where that is possible. */
  run: (written: string, note?: string) => Promise<(() => Promise<unknown>) | void>;
}

/** Each entry is decided in its own way, and every one can be left to somebody else. */
export const actsOf = (entry: Entry, ws: string): Act[] => [...ownOf(entry, ws), handOver(entry, ws)];

function handOver({ id }: Entry, ws: string): Act {
  return {
    name: texts.acts.handOver,
    operation: "handOverAttention",
    ask: { field: "userId", label: texts.asks.person, kind: "person", required: true },
    run: async (userId, note) => {
      await change(HandOver, { ws, input: { entry: id, userId, note: note || undefined } });
      return () => change(TakeBack, { ws, id });
    },
  };
}

function ownOf(entry: Entry, ws: string): Act[] {
  const subject = entry.subject;
  const item = entry.itemId;
  const dismiss: Act[] = item ? [{ name: texts.acts.dismiss, operation: "updateInboxItem", run: () => settle(ws, item) }] : [];
  if (entry.kind === "mission_pause" && (subject?.__typename === "Mission" || subject?.__typename === "Issue"))
    return [{ name: texts.acts.goOn, operation: "continueMission", primary: true, run: () => goOn(ws, subject.id) }];
  switch (subject?.__typename) {
    case "Approval":
      return [decide(ws, subject.id, "approved"), decide(ws, subject.id, "denied")];
    case "Escalation":
      return questions(ws, subject);
    case "MissionTask":
      return (["approve", "reject"] as const).map((decision) => ({
        name: texts.acts[decision],
        operation: "decideMissionTask",
        primary: decision === "approve",
        danger: decision === "reject",
        ask: { field: "notes", label: texts.asks.notes, kind: "text", required: false },
        run: async (notes) => void (await change(DecideTask, { ws, input: { id: subject.id, missionId: subject.missionId, decision, notes: notes || undefined } })),
      }));
    case "Run":
      return entry.kind === "stuck_run" ? [stop(ws, subject.id)] : [retry(ws, subject.id, item), ...dismiss];
    case "Budget":
      return [raise(ws, subject)];
    case "WorkPause":
      return [{ name: texts.acts.resume, operation: "resumeWork", primary: true, run: async () => void (await change(Resume, { ws, input: { id: subject.id } })) }];
    case "Issue":
      return reviews(ws, subject);
    case "Credential":
      return [
        {
          name: texts.acts.renew,
          operation: "updateCredential",
          primary: true,
          ask: { field: "value", label: texts.asks.secret, kind: "secret", required: true },
          run: async (value) => void (await change(RenewCredential, { ws, input: { id: subject.id, value }, version: subject.version })),
        },
      ];
    case "InboxItem":
      return [{ name: texts.acts.done, operation: "updateInboxItem", primary: true, run: () => settle(ws, subject.id) }];
    default:
      return dismiss;
  }
}

function decide(ws: string, id: string, verdict: "approved" | "denied"): Act {
  return {
    name: verdict === "approved" ? texts.acts.approve : texts.acts.deny,
    operation: "answerApproval",
    primary: verdict === "approved",
    danger: verdict === "denied",
    ask: { field: "comment", label: texts.asks.reason, kind: "text", required: false },
    run: async (comment) => void (await change(AnswerApproval, { ws, input: { id, verdict, comment: comment || undefined } })),
  };
}

function questions(ws: string, { id, escalationType }: Of<"Escalation">): Act[] {
  const secret = escalationType === "CREDENTIAL";
  return [
    {
      name: texts.acts.answer,
      operation: "resolveEscalation",
      primary: true,
      ask: { field: "resolution", label: secret ? texts.asks.secret : texts.asks.answer, kind: secret ? "secret" : "text", required: true },
      run: async (resolution) => void (await change(Answer, { ws, input: { escalationId: id, resolution, action: "approve" } })),
    },
    {
      name: texts.acts.reject,
      operation: "resolveEscalation",
      danger: true,
      ask: { field: "resolution", label: texts.asks.why, kind: "text", required: true },
      run: async (resolution) => void (await change(Answer, { ws, input: { escalationId: id, resolution, action: "reject" } })),
    },
    {
      name: texts.acts.askAgent,
      operation: "resolveEscalation",
      ask: { field: "redirectTo", label: texts.asks.agent, kind: "agent", required: true },
      run: async (redirectTo) => void (await change(Answer, { ws, input: { escalationId: id, resolution: texts.handedOver, action: "redirect", redirectTo } })),
    },
  ];
}

const stop = (ws: string, id: string): Act => ({ name: texts.acts.stop, operation: "cancelRun", danger: true, run: async () => void (await change(CancelStuck, { ws, input: { id } })) });

/** Starts it again; what was to be seen of the failed one is then done. */
function retry(ws: string, id: string, item: string | null): Act {
  const run = async () => {
    await change(RetryFailed, { ws, input: { id } });
    if (item) await change(SetItem, { ws, input: { id: item, state: "resolved" } });
  };
  return { name: texts.acts.retry, operation: "retryRun", primary: true, run };
}

function raise(ws: string, budget: Of<"Budget">): Act {
  const suggested = Math.max(budget.amountUsd * 2, Math.ceil(budget.spentUsd * 1.5));
  return {
    name: texts.acts.raise,
    operation: "updateBudget",
    primary: true,
    ask: { field: "amountUsd", label: texts.asks.amount, kind: "amount", required: true, value: String(suggested) },
    run: async (amount) => {
      const raised = await change(RaiseBudget, { ws, input: { id: budget.id, amountUsd: Number(amount) }, version: budget.version });
      return () => change(RaiseBudget, { ws, input: { id: budget.id, amountUsd: budget.amountUsd }, version: raised.updateBudget?.version });
    },
  };
}

function reviews(ws: string, issue: Of<"Issue">): Act[] {
  const decide = (action: "approve" | "request_changes") => async (comment: string) =>
    void (await change(Review, { ws, input: { identifier: issue.identifier!, crewId: issue.crewId, action, comment: comment || undefined } }));
  return [
    { name: texts.acts.accept, operation: "reviewIssue", primary: true, run: () => decide("approve")("") },
    { name: texts.acts.requestChanges, operation: "reviewIssue", ask: { field: "comment", label: texts.asks.changes, kind: "text", required: true }, run: decide("request_changes") },
  ];
}

async function goOn(ws: string, id: string): Promise<() => Promise<unknown>> {
  await change(ContinuePaused, { ws, input: { id } });
  return () => change(PauseAgain, { ws, input: { id } });
}

async function settle(ws: string, id: string): Promise<() => Promise<unknown>> {
  await change(SetItem, { ws, input: { id, state: "resolved" } });
  return () => change(SetItem, { ws, input: { id, state: "unread" } });
}
