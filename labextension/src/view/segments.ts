// The panes of one machine, as buttons in a row of which one is pressed.
import type { Pane } from "./contract.ts";
import { h, setAttribute } from "./dom.ts";
import { strings } from "./strings.ts";

export interface Segments {
  element: HTMLElement;
  update(machine: string, panes: Pane[], shown: string): void;
}

export function segments(choose: (pane: string) => void): Segments {
  const element = h("div", { class: "segments", attributes: { role: "group" } });
  let drawn = "";
  return {
    element,
    update(machine, panes, shown) {
      const key = JSON.stringify([machine, panes]);
      if (key !== drawn) { // rebuilt only when it differs: polling must not take the focus away from a button
        setAttribute(element, "aria-label", strings.panesOf(machine));
        element.replaceChildren(...panes.map(({ name, title }) =>
          h("button", { attributes: { type: "button", value: name }, on: { click: () => choose(name) } }, title)));
        drawn = key;
      }
      for (const button of element.querySelectorAll("button")) {
        setAttribute(button, "aria-pressed", String(button.value === shown));
      }
    },
  };
}
