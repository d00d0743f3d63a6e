// The machines as tabs: one stop for the Tab key, arrow keys go from machine to machine.
import type { Machine } from "./contract.ts";
import { freshId, h, setAttribute, setText } from "./dom.ts";
import { strings } from "./strings.ts";

export interface Tabs {
  element: HTMLElement;
  /** Draws the machines; `selected` is the name of the one whose panes are shown. */
  update(machines: Machine[], selected: string): void;
}

interface Tab {
  element: HTMLElement;
  dot: HTMLElement;
  label: HTMLElement;
}

export function tabs(panel: HTMLElement, select: (machine: string) => void): Tabs {
  const element = h("div", { class: "tabs", attributes: { role: "tablist", "aria-label": strings.machines } });
  const known = new Map<string, Tab>();

  function tabOf(machine: string): Tab {
    const dot = h("span", { class: "dot", attributes: { "aria-hidden": "true" } });
    const label = h("span");
    const tab = {
      dot, label,
      element: h("button", {
        class: "tab",
        attributes: { type: "button", role: "tab", id: freshId("tab"), "aria-controls": panel.id },
        on: { click: () => select(machine) },
      }, dot, label),
    };
    known.set(machine, tab);
    return tab;
  }

  element.addEventListener("keydown", (event) => {
    const names = [...known.keys()];
    const at = [...known.values()].findIndex((tab) => tab.element.getAttribute("aria-selected") === "true");
    const to = nextIndex(event.key, at, names.length);
    const name = to === undefined ? undefined : names[to];
    if (name === undefined) return;
    event.preventDefault();
    select(name);
    known.get(name)?.element.focus();
  });

  return {
    element,
    update(machines, selected) {
      element.hidden = machines.length === 0;
      const names = machines.map((machine) => machine.name);
      if (names.join() !== [...known.keys()].join()) {
        known.clear();
        element.replaceChildren(...names.map((name) => tabOf(name).element));
      }
      for (const machine of machines) draw(known.get(machine.name), machine, machine.name === selected);
      const chosen = known.get(selected);
      if (chosen) setAttribute(panel, "aria-labelledby", chosen.element.id);
    },
  };
}

function draw(tab: Tab | undefined, machine: Machine, selected: boolean): void {
  if (tab === undefined) return;
  tab.dot.dataset["state"] = machine.state;
  const state = strings.machineStates[machine.state] ?? strings.unknownState(machine.state);
  setText(tab.label, machine.state === "running" ? machine.name : `${machine.name} · ${state}`);
  setAttribute(tab.element, "aria-selected", String(selected));
  tab.element.tabIndex = selected ? 0 : -1;
}

function nextIndex(key: string, at: number, count: number): number | undefined {
  if (key === "ArrowRight") return (at + 1) % count;
  if (key === "ArrowLeft") return (at - 1 + count) % count;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return undefined;
}
