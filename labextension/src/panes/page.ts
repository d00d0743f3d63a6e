// The page's frame: a toolbar with the state in words, and the place for the pane below it.

import { h, setText } from "../view/dom.ts";
import type { PageState } from "./contract.ts";
import { Panel } from "./panel.ts";
import { strings } from "./strings.ts";
import type { Action } from "./view.ts";

/** States in which nothing happens by itself, or not soon: the notice has a button then. */
const STUCK: readonly PageState[] = ["taken-over", "lost", "stopped", "forbidden"];

export function actionButton({ label, title, run }: Action): HTMLButtonElement {
  return h("button", { attributes: { type: "button", title }, on: { click: run } }, label);
}

export class Page {
  readonly place = h("div", { class: "place" });
  private readonly status = h("p", { class: "status", attributes: { role: "status" } });
  private readonly title = h("h1");
  private readonly buttons = h("div", { class: "buttons", attributes: { role: "group", "aria-label": strings.tools } });
  private readonly sentence = h("p");
  private readonly again: HTMLButtonElement;
  private readonly notice: HTMLElement;

  constructor(title: string, private readonly reconnect: Action) {
    this.again = actionButton(reconnect);
    this.again.classList.add("primary");
    this.notice = h("div", { class: "notice" }, this.sentence, this.again);
    document.body.append(
      h("header", {}, this.title, this.status, this.buttons),
      h("main", {}, this.place, this.notice),
    );
    this.name(title);
  }

  /** The toolbar of a pane, once it is known what the pane is. */
  tools(
    first: readonly Action[],
    elements: readonly HTMLElement[],
    settings: HTMLElement,
    more: readonly Action[],
    last: readonly Action[],
  ): void {
    const actions = h("div", { class: "actions" }, ...[this.reconnect, ...more].map(actionButton));
    const panel = new Panel(strings.more, strings.moreTitle, h("div", {}, settings, actions));
    this.buttons.replaceChildren(...first.map(actionButton), ...elements, panel.element, ...last.map(actionButton));
  }

  name(title: string): void {
    this.title.textContent = title;
    document.title = `${title} - labkit`;
  }

  /** Say the state in words. While nothing is connected, the sentence stands in the middle too. */
  say(state: PageState, text: string): void {
    document.body.dataset["state"] = state;
    setText(this.status, text);
    this.notice.hidden = state === "connected" || state === "paused";
    this.again.hidden = !STUCK.includes(state);
    setText(this.sentence, text);
  }

  /** Say something that is no state; the next state replaces it. */
  remark(text: string): void {
    setText(this.status, text);
  }

  /** Take the keyboard from the machine: the focus goes to the first button. */
  leave(): void {
    this.buttons.querySelector("button")?.focus();
    this.remark(strings.released);
  }
}
