// What counts as done, and for how much: in one place for header, contents, pages and steps.
import type { Page, Progress } from "./contract.ts";

/** The steps and questions of a page, also of one whose text has not been sent yet. */
export const tasksOf = (page: Page): string[] => [...Object.keys(page.steps), ...Object.keys(page.questions)];

export function isDone(task: string, progress: Progress): boolean {
  const answer = progress.answers[task];
  if (answer !== undefined && (answer.right !== false || answer.over)) return true;
  return progress.ticks.includes(task) || progress.results[task]?.verdict === "passed";
}

export function doneOf(page: Page, progress: Progress): number {
  return tasksOf(page).filter((task) => isDone(task, progress)).length;
}

/** What a page can earn, and what it has earned; hints are paid from the whole. */
export function pointsOf(page: Page, progress: Progress): [points: number, max: number] {
  const steps = Object.entries(page.steps).map(([step, worth]) => (isDone(step, progress) ? worth : 0));
  const answers = Object.keys(page.questions).map((question) => progress.answers[question]?.points ?? 0);
  const max = [...Object.values(page.steps), ...Object.values(page.questions)];
  const sum = (numbers: number[]): number => numbers.reduce((all, one) => all + one, 0);
  return [sum([...steps, ...answers]), sum(max)];
}
