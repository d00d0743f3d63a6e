// A button that shows and hides what belongs to it, over the pane: Escape or leaving it closes it.

import { freshId, h } from "../view/dom.ts";

export class Panel {
  readonly element: HTMLElement;
  private readonly button: HTMLButtonElement;

  constructor(label: string, title: string, private readonly contents: HTMLElement) {
    contents.id = freshId("panel");
    contents.hidden = true;
    contents.tabIndex = -1; // so that a click into it keeps the focus within
    contents.classList.add("panel");
    contents.setAttribute("role", "group");
    contents.setAttribute("aria-label", label);
    this.button = h("button", {
      attributes: { type: "button", title, "aria-expanded": "false", "aria-controls": contents.id },
      on: { click: () => this.show(contents.hidden) },
    }, label);
    this.element = h("div", { class: "holder" }, this.button, contents);
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget as Node | null)) this.show(false);
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || contents.hidden) return;
      this.show(false);
      this.button.focus();
    });
  }

  show(visible: boolean): void {
    this.contents.hidden = !visible;
    this.button.setAttribute("aria-expanded", String(visible));
    if (visible) this.contents.focus();
  }
}
