// What a course adds to the lab view's top line: the grade, a call for help, and what can be done with the whole lab.
import { confirmed } from "../view/confirm.ts";
import type { Request, Status } from "../view/contract.ts";
import { h, setAttribute, setText } from "../view/dom.ts";
import { strings } from "../view/strings.ts";
import { words } from "./words.ts";

/** What a course adds to a lab's status: `lti_app/web/work.py`, `_around`. */
export interface Around {
  grade: { state: "none" | "waiting" | "sent" | "refused"; text: string };
  hand: boolean;
}

export interface BarHost {
  /** Asks the page's own server: `hand`. */
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
  update(status: Status & Around): void;
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
    update({ lab: { state }, machines: all, grade: note, hand: raised }) {
      const names = all.map((machine) => machine.name);
      setText(grade, note.text);
      grade.dataset["state"] = note.state;
      setText(hand, raised ? said.helpOff : said.help);
      setAttribute(hand, "aria-pressed", String(raised));
      pause.dataset["asks"] = state === "paused" ? "resume" : "pause";
      setText(pause, state === "paused" ? said.resume : said.pause);
      pause.hidden = state !== "running" && state !== "paused";
      more.hidden = pause.hidden && state !== "failed";
      again.hidden = !["stopped", "lost", "failed"].includes(state);
      if (names.join() !== machines || !menu.hasChildNodes()) drawMenu(names);
      machines = names.join();
    },
  };
}

function button(label: string, click: () => void, kind = ""): HTMLElement {
  return h("button", { class: kind, attributes: { type: "button" }, on: { click } }, label);
}
