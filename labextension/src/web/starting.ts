// A start under way: its stages and its place in the queue, until it is done or has failed.
import type { WidgetModel } from "../view/comm.ts";
import type { OperationEvent, Request } from "../view/contract.ts";
import progress from "../view/progress-widget.ts";
import { ConnectionLost } from "../view/transport.ts";

/** Milliseconds between two looks. */
const INTERVAL = 500;

type Change = () => void;

/** The traits that the card of a start draws, as a notebook's model has them. */
class Traits implements WidgetModel {
  private readonly heard = new Map<string, Set<Change>>();
  constructor(private readonly values: Record<string, unknown>) {}

  get(name: string): unknown {
    return this.values[name];
  }
  set(changed: Record<string, unknown>): void {
    Object.assign(this.values, changed);
    for (const name of Object.keys(changed)) for (const hear of this.heard.get(`change:${name}`) ?? []) hear();
  }
  on(name: string, hear: Change): void {
    this.heard.set(name, (this.heard.get(name) ?? new Set()).add(hear));
  }
  off(name: string, hear: Change): void {
    this.heard.get(name)?.delete(hear);
  }
  send(): void {} // nothing is asked by this card
}

/** Draws the start into `place` and follows it. Rejects with one sentence where it fails; what is drawn stays then. */
export async function followStart(place: HTMLElement, title: string, operation: string, request: Request): Promise<void> {
  const traits = new Traits({ title, stage_text: "", progress: 0, state: "running", detail: "", events: [] });
  const close = progress.render({ model: traits, el: place });
  const all: (OperationEvent & { time: number })[] = [];
  for (;;) {
    const answer = await asked(operation, all.at(-1)?.seq ?? 0, request, (detail) => traits.set({ detail }));
    all.push(...(answer.events as typeof all));
    const { state, error } = answer.operation;
    const last = all.at(-1);
    traits.set({ detail: "", stage_text: last?.text ?? "", progress: last?.progress ?? 0, events: [...all] });
    if (state === "done") return close();
    if (state === "failed" || state === "cancelled") {
      traits.set({ state: "failed", detail: error });
      throw new Error(error);
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

/** What has happened since `after`; while nobody answers, `tell` says so, and it is asked again. */
async function asked(
  operation: string, after: number, request: Request, tell: (sentence: string) => void,
): Promise<Awaited<ReturnType<typeof request<"events">>>> {
  for (;;) {
    try {
      return await request("events", { operation, after });
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      tell(error.message);
      await new Promise((resolve) => setTimeout(resolve, 4 * INTERVAL));
    }
  }
}
