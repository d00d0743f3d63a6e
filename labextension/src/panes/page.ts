// The page's frame: a toolbar with the state in words, and the place for the pane below it.

import type { PageState } from "./contract.ts";
import type { Action } from "./view.ts";

export class Page {
  readonly place = element("div", { class: "place" });
  private readonly status = element("p", { class: "status", role: "status" });
  private readonly title = element("h1", {});
  private readonly buttons = element("div", { class: "buttons" });
  private readonly notice = element("p", { class: "notice" });

  constructor(title: string, actions: readonly Action[]) {
    const bar = element("header", { role: "toolbar", "aria-label": "Pane" });
    bar.append(this.title, this.status, this.buttons);
    const stage = element("main", {});
    stage.append(this.place, this.notice);
    document.body.append(bar, stage);
    this.name(title);
    this.add(actions);
  }

  /** Add buttons to the toolbar. */
  add(actions: readonly Action[]): void {
    for (const { label, title, run } of actions) {
      const button = element("button", { type: "button", title });
      button.textContent = label;
      button.addEventListener("click", run);
      this.buttons.append(button);
    }
  }

  name(title: string): void {
    this.title.textContent = title;
    document.title = `${title} - labkit`;
  }

  /** Say the state in words. While nothing is connected, the sentence stands in the middle too. */
  say(state: PageState, text: string): void {
    document.body.dataset["state"] = state;
    if (this.status.textContent !== text) this.status.textContent = text;
    this.notice.textContent = state === "connected" || state === "paused" ? "" : text;
    this.notice.hidden = this.notice.textContent === "";
  }

  /** Say something that is no state; the next state replaces it. */
  remark(text: string): void {
    this.status.textContent = text;
  }

  /** Take the keyboard from the machine: the focus goes to the first button. */
  leave(): void {
    this.buttons.querySelector("button")?.focus();
  }
}

function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string>,
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
