// A check is an operation: asked for, then followed by its events until it is over.
import type { Progress, Request } from "./contract.ts";
import { strings } from "./strings.ts";

/** Milliseconds between two looks at a running check. */
const INTERVAL = 300;

/** Returns the progress with the verdict in it. Throws an Error with one sentence where the check could not run. */
export async function runCheck(step: string, request: Request): Promise<Progress> {
  const { operation } = await request("check", { step });
  for (let after = 0; ; ) {
    const answer = await request("events", { operation, after });
    const { state, error } = answer.operation;
    if (state === "done") return answer.progress;
    if (state === "failed" || state === "cancelled") throw new Error(strings.checkFault(error));
    after = answer.events.at(-1)?.seq ?? after;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}
