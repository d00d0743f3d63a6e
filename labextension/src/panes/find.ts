// Searching in what a text pane has printed: a bar over its upper right corner.

import { SearchAddon } from "@xterm/addon-search";
import type { Terminal } from "@xterm/xterm";
import { h, setText } from "../view/dom.ts";
import { strings } from "./strings.ts";
import { FOUND } from "./themes.ts";

export class Find {
  private readonly search = new SearchAddon();
  private readonly field = h("input", { attributes: { type: "search", "aria-label": strings.findText } });
  private readonly count = h("span", { class: "count", attributes: { role: "status" } });
  private readonly bar = h("form", { class: "find", attributes: { hidden: true, role: "search" } });

  constructor(place: HTMLElement, private readonly terminal: Terminal) {
    terminal.loadAddon(this.search);
    const button = (label: string, click: () => void): HTMLElement =>
      h("button", { attributes: { type: "button" }, on: { click } }, label);
    this.bar.append(this.field, this.count, button(strings.findPrevious, () => this.go(false)),
      button(strings.findNext, () => this.go(true)), button(strings.close, () => this.close()));
    this.bar.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("input", () => this.go(true, true));
    this.search.onDidChangeResults(({ resultIndex, resultCount }) =>
      setText(this.count, this.field.value === "" ? "" : strings.found(resultIndex, resultCount)));
    place.after(this.bar);
  }

  open(): void {
    this.bar.hidden = false;
    this.field.select();
    this.field.focus();
  }

  private go(forward: boolean, incremental = false): void {
    const options = { decorations: FOUND, incremental };
    if (forward) this.search.findNext(this.field.value, options);
    else this.search.findPrevious(this.field.value, options);
  }

  private key(event: KeyboardEvent): void {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    if (event.target !== this.field && event.key === "Enter") return; // a button: its own click
    event.preventDefault();
    if (event.key === "Enter") this.go(!event.shiftKey);
    else this.close();
  }

  private close(): void {
    this.bar.hidden = true;
    this.search.clearDecorations();
    this.terminal.focus();
  }
}
