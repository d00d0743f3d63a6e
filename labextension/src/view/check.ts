// What takes its time (a check, a file that is fetched or put) is an operation: asked for, then followed until it is over.
import type { Methods, Progress, Request } from "./contract.ts";
import { strings } from "./strings.ts";

/** Milliseconds between two looks at a running operation. */
const INTERVAL = 300;

type Long = "check" | "poll" | "collect" | "upload";

/** Returns the progress with what came of it. Throws an Error with one sentence where it could not be done. */
export async function followed<M extends Long>(method: M, params: Methods[M]["params"], request: Request): Promise<Progress> {
  const { operation } = await request<Long>(method, params);
  for (let after = 0; ; ) {
    const answer = await request("events", { operation, after });
    const { state, error } = answer.operation;
    if (state === "done") return answer.progress;
    if (state === "failed" || state === "cancelled") throw new Error(method === "check" ? strings.checkFault(error) : error);
    after = answer.events.at(-1)?.seq ?? after;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}
