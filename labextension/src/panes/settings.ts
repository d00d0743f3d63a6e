// The choices of a pane as a list of labelled selects, made from the tables.

import { h } from "../view/dom.ts";
import { CHOICES, type Name, type Prefs } from "./prefs.ts";
import { strings } from "./strings.ts";

/** One select for each of `names`; `changed` hears the whole of what is chosen now. */
export function settings(names: readonly Name[], prefs: Prefs, changed: (prefs: Prefs) => void): HTMLElement {
  const chosen: Prefs = { ...prefs };
  const rows = names.map((name) => {
    const words: { label: string; choices: Record<string, string> } = strings.settings[name];
    const options = CHOICES[name].map((value) =>
      h("option", { attributes: { value, selected: chosen[name] === value } }, words.choices[value] ?? value));
    const select = h("select", {}, ...options);
    select.addEventListener("change", () => {
      Object.assign(chosen, { [name]: select.value });
      changed({ ...chosen });
    });
    return h("label", {}, h("span", {}, words.label), select);
  });
  return h("div", { class: "settings" }, ...rows);
}
