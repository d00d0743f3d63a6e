// What counts as done, in one place for header, pages and steps.
import type { Page, Progress, StepPart } from "./contract.ts";

export function stepsOf(page: Page): StepPart[] {
  return page.parts.filter((part) => part.kind === "step");
}

export function isDone(step: string, progress: Progress): boolean {
  return progress.ticks.includes(step) || progress.results[step]?.verdict === "passed";
}
