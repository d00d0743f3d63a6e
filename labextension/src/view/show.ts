// What a host has drawn of a lab: the whole of it, or a part in a cell or tab of its own.
import type { Status, StepPart, View } from "./contract.ts";

export interface Show {
  /** How instructions and machines stand to each other at first. */
  layout?: "side by side" | "stacked";
  /** One half only. */
  part?: "instructions" | "machines";
  /** One step only, by its id; the machines come under it once an action needs them. */
  step?: string;
  /** One pane only: `machine:pane`. */
  pane?: string;
}

/** A status with no other machines and panes than the one that is shown. */
export function narrowed(status: Status, { pane }: Show): Status {
  if (pane === undefined) return status;
  const [machine = "", name = ""] = pane.split(":");
  const machines = status.machines
    .filter((one) => one.name === machine)
    .map((one) => ({ ...one, panes: one.panes.filter((each) => each.name === name) }));
  return { ...status, machines };
}

/** The step that is shown, if the learner may see it. */
export function stepOf(view: View, id: string): StepPart | undefined {
  return view.instructions.pages.flatMap((page) => page.parts).find((part): part is StepPart => part.kind === "step" && part.id === id);
}
