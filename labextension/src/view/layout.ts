// Instructions beside the machines, or above them: the learner's choice, remembered for this browser tab.
import { h, setAttribute, setText } from "./dom.ts";
import { recall, remember } from "./memory.ts";
import { strings } from "./strings.ts";

const KEY = "layout";

/** A button that changes how `main` is laid out; `first` is how it is unless the learner has chosen before. */
export function layoutButton(main: HTMLElement, first: string = "side by side"): HTMLElement {
  const button = h("button", { class: "ghost", attributes: { type: "button" }, on: { click: () => lay(!stacked()) } });
  const stacked = (): boolean => main.classList.contains("stacked");

  function lay(over: boolean, kept = true): void {
    main.classList.toggle("stacked", over);
    setText(button, over ? strings.sideBySide : strings.stacked);
    setAttribute(main.querySelector(".grip") ?? button, "aria-disabled", over ? "true" : null);
    if (kept) remember(KEY, over ? "stacked" : "side by side");
  }

  lay((recall(KEY) ?? first) === "stacked", false);
  return button;
}
