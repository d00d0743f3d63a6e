// What a course adds to the lab view's top line: the grade, a call for help, and what can be done with the whole lab.
import { confirmed } from "../view/confirm.ts";
import type { Request } from "../view/contract.ts";
import { h, setAttribute, setText } from "../view/dom.ts";
import { strings } from "../view/strings.ts";
import { words } from "./words.ts";

/** What stands around a lab: `lti_app/web/work.py`, `state`. */
export interface Around {
  lab: { state: string; detail: string; operation: string | null; machines: string[] } | null;
  grade: { state: "none" | "waiting" | "sent" | "refused"; text: string };
  hand: boolean;
}

export interface BarHost {
  /** Asks the page's own server: `state`, `hand`. */
  ask(method: string, params: object): Promise<unknown>;
  /** Asks the lab view's. */
  request: Request;
  /** Starts the lab once more. */
  again(): void;
  /** Something was changed, or refused with a sentence. */
  changed(refusal?: string): void;
}

export interface Bar {
  element: HTMLElement;
  update(around: Around): void;
}

export function bar(host: BarHost): Bar {
  const said = words(strings.language);
  const grade = h("span", { class: "grade", attributes: { role: "status" } });
  const hand = button("", () => void does(() => host.ask("hand", { raised: hand.getAttribute("aria-pressed") !== "true" })));
  const pause = button("", () => void does(() => host.request(pause.dataset["asks"] as "pause" | "resume", {})));
  const again = button(said.again, host.again, "primary");
  const menu = h("div", { class: "menu" });
  const more = h("details", { class: "more" }, h("summary", {}, said.more), menu);
  let machines = "";

  async function does(work: () => Promise<unknown>): Promise<void> {
    more.open = false;
    try {
      await work();
      host.changed();
    } catch (error) {
      host.changed((error as Error).message);
    }
  }

  async function asks(question: string, work: () => Promise<unknown>): Promise<void> {
    more.open = false;
    if (await confirmed(more, question)) await does(work);
  }

  function drawMenu(names: string[]): void {
    const one = (name: string): HTMLElement =>
      button(said.reset(name), () => void asks(said.askReset(name), () => host.request("reset", { machine: name })), "ghost");
    menu.replaceChildren(
      ...(names.length > 1 ? names.map(one) : []),
      button(said.resetAll, () => void asks(said.askResetAll, () => host.request("reset", { machine: "" })), "ghost"),
      button(said.stop, () => void asks(said.askStop, () => host.request("stop", {})), "ghost"),
    );
  }

  more.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !more.open) return;
    more.open = false;
    more.querySelector("summary")?.focus();
  });

  return {
    element: h("div", { class: "beside" }, grade, hand, pause, more, again),
    update({ lab, grade: note, hand: raised }) {
      const state = lab?.state ?? "stopped";
      setText(grade, note.text);
      grade.dataset["state"] = note.state;
      setText(hand, raised ? said.helpOff : said.help);
      setAttribute(hand, "aria-pressed", String(raised));
      pause.dataset["asks"] = state === "paused" ? "resume" : "pause";
      setText(pause, state === "paused" ? said.resume : said.pause);
      pause.hidden = state !== "running" && state !== "paused";
      more.hidden = pause.hidden && state !== "failed";
      again.hidden = !["stopped", "lost", "failed"].includes(state);
      if (lab && lab.machines.join() !== machines) drawMenu(lab.machines);
      machines = lab?.machines.join() ?? machines;
    },
  };
}

function button(label: string, click: () => void, kind = ""): HTMLElement {
  return h("button", { class: kind, attributes: { type: "button" }, on: { click } }, label);
}
