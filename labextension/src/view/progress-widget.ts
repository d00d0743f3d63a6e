// The start of a lab as an anywidget: a labelled progress bar and the stages that are done.
// State: title, stage_text, progress (0..1), state (running|done|failed), detail, events [{text, time}].
import type { WidgetModel } from "./comm.ts";
import { freshId, h, setAttribute, setText } from "./dom.ts";
import style from "./progress.css" with { type: "text" };
import { openShell } from "./shell.ts";
import { strings } from "./strings.ts";

interface Stage {
  text: string;
  time: number;
}

const NAMES = ["title", "stage_text", "progress", "state", "detail", "events"] as const;

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const shell = openShell(el, "start", style);
  const title = h("strong", { attributes: { id: freshId("start") } });
  const state = h("span", { class: "state" });
  const fill = h("i");
  const bar = h("div", {
    class: "bar",
    attributes: { role: "progressbar", "aria-labelledby": title.id, "aria-valuemin": 0, "aria-valuemax": 100 },
  }, fill);
  const line = h("p", { class: "line", attributes: { role: "status" } });
  const summary = h("summary");
  const list = h("ol");
  const stages = h("details", { attributes: { open: true } }, summary, list);
  shell.root.append(h("div", { class: "top" }, title, state), bar, line, stages);
  let drawnAs = "";

  function draw(): void {
    const word = String(model.get("state"));
    const percent = Math.round(100 * Math.min(1, Math.max(0, Number(model.get("progress")) || 0)));
    const stage = String(model.get("stage_text") ?? "");
    const detail = String(model.get("detail") ?? "");
    setText(title, String(model.get("title") ?? ""));
    setText(state, word in strings.start.states ? strings.start.states[word as "done"] : word);
    setText(line, word === "failed" ? detail || stage : [stage, detail].filter(Boolean).join(" "));
    shell.root.dataset["state"] = word;
    fill.style.width = `${percent}%`;
    setAttribute(bar, "aria-valuenow", percent);
    setAttribute(bar, "aria-valuetext", strings.start.percent(percent, stage));
    drawStages((model.get("events") ?? []) as Stage[], list, summary);
    stages.hidden = list.childElementCount === 0;
    if (word === "done" && drawnAs !== "done") stages.open = false; // once, so that the learner may open it again
    drawnAs = word;
  }

  for (const name of NAMES) model.on(`change:${name}`, draw);
  draw();
  return () => {
    for (const name of NAMES) model.off(`change:${name}`, draw);
    shell.close();
  };
}

function drawStages(events: Stage[], list: HTMLElement, summary: HTMLElement): void {
  const start = events[0]?.time ?? 0;
  const seconds = (stage: Stage): string => strings.start.seconds(Math.max(0, stage.time - start));
  while (list.childElementCount > events.length) list.lastElementChild?.remove(); // a new start in the same widget
  for (const [index, stage] of events.entries()) {
    const row = list.children[index] ?? list.appendChild(h("li", {}, h("span"), h("span", { class: "time" })));
    setText(row.children[0] as Element, stage.text); // a stage may say more as it goes on
    setText(row.children[1] as Element, seconds(stage));
  }
  const last = events.at(-1);
  if (last) setText(summary, strings.start.stages(events.length, seconds(last)));
}

export default { render };
