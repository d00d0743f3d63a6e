// The top line: title, how far the learner is, and how the lab is.
import type { Instructions, Progress, Status } from "./contract.ts";
import { freshId, h, setAttribute, setText } from "./dom.ts";
import { doneOf, tasksOf } from "./progress.ts";
import { strings } from "./strings.ts";

export interface Header {
  element: HTMLElement;
  update(status: Status): void;
}

export interface HeaderTools {
  /** The learner wants the lab to live longer. */
  extend(): void;
  layout: HTMLElement | undefined;
}

/** @param speak is told the language that the learner chose */
export function header(title: string, instructions: Instructions, speak: (language: string) => void, tools: HeaderTools): Header {
  const steps = instructions.pages.flatMap(tasksOf);
  const stepsText = h("span");
  const pointsText = h("span");
  const label = h("small", { attributes: { id: freshId("meter") } }, stepsText, pointsText);
  const fill = h("i");
  const bar = h("div", {
    class: "bar",
    attributes: { role: "progressbar", "aria-label": strings.progress, "aria-valuemin": 0, "aria-valuemax": 100 },
  }, fill);
  const dot = h("span", { class: "dot", attributes: { "aria-hidden": "true" } });
  const word = h("span");
  const state = h("p", { class: "state", attributes: { role: "status" } }, dot, word);
  const left = h("span");
  const more = h("button", { class: "ghost", attributes: { type: "button" }, on: { click: () => tools.extend() } }, strings.extend);
  const time = h("div", { class: "time-left" }, left, more);
  const meter = h("div", { class: "meter", attributes: { hidden: steps.length === 0 } }, label, bar);

  function updateMeter(progress: Progress): void {
    const done = instructions.pages.reduce((all, page) => all + doneOf(page, progress), 0);
    const percent = steps.length === 0 ? 0 : Math.round((100 * done) / steps.length);
    const points = progress.max_points > 0 ? strings.pointsDone(progress.points, progress.max_points) : "";
    setText(stepsText, strings.stepsDone(done, steps.length));
    setText(pointsText, points);
    setAttribute(bar, "aria-valuenow", percent);
    setAttribute(bar, "aria-valuetext", [stepsText.textContent, points].filter(Boolean).join(", "));
    fill.style.width = `${percent}%`;
  }

  return {
    element: h("header", {}, h("h1", {}, title), meter, ...languageChoice(instructions, speak), ...(tools.layout ? [tools.layout] : []), time, state),
    update({ lab, progress }) {
      updateMeter(progress);
      const ends = lab.state === "stopped" || lab.state === "stopping" ? null : (lab.ends ?? null);
      time.hidden = ends === null;
      if (ends !== null) setText(left, strings.timeLeft(Math.max(0, Math.round((ends - Date.now() / 1000) / 60))));
      dot.dataset["state"] = lab.state;
      const named = strings.labStates[lab.state] ?? strings.unknownState(lab.state);
      setText(word, lab.detail ? `${named} ${lab.detail}` : named);
    },
  };
}

/** Languages by their own names, each in itself. Nothing where there is only one. */
function languageChoice({ language, languages }: Instructions, speak: (language: string) => void): HTMLElement[] {
  if (languages.length < 2) return [];
  const named = (code: string): string => new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
  const options = languages.map((code) =>
    h("option", { attributes: { value: code, lang: code, selected: code === language } }, named(code)));
  const choice = h("select", { attributes: { "aria-label": strings.chosenLanguage } }, ...options);
  choice.addEventListener("change", () => speak(choice.value));
  return [choice];
}
