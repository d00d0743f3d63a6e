// Actions in the text: what is clicked asks first where it has to, does one thing at a time, and shows that it was done.
import { followed } from "./check.ts";
import { confirmed } from "./confirm.ts";
import type { Request } from "./contract.ts";
import { setAttribute } from "./dom.ts";
import { strings } from "./strings.ts";

/** What is done in a pane. */
export type PaneAction = "run" | "type" | "paste" | "open" | "focus";
export type ActionName = PaneAction | "upload";

/** Does an action on `machine` or `machine:pane`. Rejects with one sentence where it was not done. */
export interface Actions {
  act(action: PaneAction, target: string, text: string, interrupt: boolean): Promise<void>;
}

export interface ActionHost {
  actions: Actions;
  request: Request;
  say(sentence: string): void;
}

const SHOWN = 2000;

/** What a button does is called, for its own label or its title. */
export function actionName(action: string, target: string): string {
  return strings.actions[action as ActionName]?.(target) ?? action;
}

/** Makes `button` do what `source` (the button itself, or a block of code) names in its data attributes. */
export function arm(button: HTMLElement, source: HTMLElement, text: () => string, host: ActionHost): void {
  const { action = "", target = "", confirm, interrupt, max, upload } = source.dataset;
  let left = Number(max ?? Infinity);
  let busy = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  if (button === source) button.title = actionName(action, target);

  async function act(): Promise<void> {
    if (busy) return;
    if (left < 1) return host.say(strings.usedUp);
    busy = true;
    try {
      if (confirm !== undefined && !(await confirmed(button, confirm))) return;
      if (upload !== undefined) await followed("upload", { upload }, host.request);
      else await host.actions.act(action as PaneAction, target, text(), interrupt === "yes");
      left -= 1;
      if (left < 1) setAttribute(button, "aria-disabled", "true");
      host.say(strings.acted[action as ActionName](target));
      button.dataset["did"] = "";
      clearTimeout(timer);
      timer = setTimeout(() => delete button.dataset["did"], SHOWN);
    } catch (error) {
      host.say((error as Error).message);
    } finally {
      busy = false;
    }
  }
  button.addEventListener("click", () => void act());
}
