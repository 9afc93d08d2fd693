// Changes of many jobs: counted before, with progress while they go on, and a way back.
import { get, send } from "./api.js";
import { count, counted } from "./format.js";
import { ask, perform, say } from "./parts.js";

const WORDS = { retry: ["Retry", "made ready again"], cancel: ["Cancel", "cancelled"], purge: ["Delete", "deleted"] };
const TEXTS = {
  retry: "They run again with all their attempts. It can be undone for those that have not started.",
  cancel: "Jobs that run are told to stop.",
  purge: "They go for good, with their results, errors and logs. What a job that has not completed depends on stays.",
};
/** A part of a workflow or of a spawn tree never goes alone. */
export const WHOLE = { name: "whole", label: "Also the rest of their workflows and spawn trees", kind: "check", refused: /goes together/ };

/**
 * Count the jobs, ask, and act on all of them.
 *
 * wanted is the filter of an operation: {state, queue, task, error, ...}, {group} or {ids}.
 */
export async function actOnAll(action, wanted, reload) {
  const found = await perform(() => send("POST", "/api/operations", { action, ...wanted, dry_run: true }), null);
  if (!found) return;
  const [verb, does] = WORDS[action];
  if (!found.total) return void say(`No job fits: there is nothing to ${WORDS[action][0].toLowerCase()}.`);
  const jobs = counted(found.total, "job") + (found.is_whole ? "" : " or more");
  const given = await ask({ title: `${verb} ${jobs}?`, text: TEXTS[action], action: `${verb} ${jobs}`, harm: action !== "retry", fields: action === "purge" ? [WHOLE] : [] });
  if (!given) return;
  const begun = await perform(() => send("POST", "/api/operations", { action, ...wanted, ...(given.whole && { whole: true }), before: found.before }), null);
  if (begun) await followed(begun, does, reload);
}

async function followed(operation, does, reload) {
  let now = operation;
  let told = 0;
  while (now.state === "running") {
    await new Promise((next) => setTimeout(next, 400));
    now = await get(`/api/operations/${now.id}`).catch(() => now);
    told += 1;
    if (told % 10 === 0) say(`${count(now.done)} of ${count(now.total)} jobs so far.`);
  }
  const changed = now.done - now.failed;
  const undo = now.action === "retry" ? () => undone(now, reload) : undefined;
  if (now.state === "done") say(`${counted(changed, "job")} ${does}${now.failed ? `; ${count(now.failed)} stayed as they were` : ""}.`, { undo });
  else say(`It is ${now.state} after ${counted(changed, "job")}. ${now.error ?? ""}`, { fail: true, undo });
  reload();
}

const undone = (operation, reload) => perform(() => send("POST", `/api/operations/${operation.id}/undo`), (answer) => `${counted(answer.undone, "job")} back as they were${answer.started ? `; ${count(answer.started)} had started already` : ""}.`).then(reload);
