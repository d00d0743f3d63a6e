// Questions: answered here, judged by the server. What is right is not known in the browser before it is due.
import type { BlockHost } from "./blocks.ts";
import { followed } from "./check.ts";
import type { AnswerState, Progress } from "./contract.ts";
import { freshId, h, setAttribute, setText } from "./dom.ts";
import { inertFragment } from "./html.ts";
import { strings } from "./strings.ts";

type Field = HTMLInputElement | HTMLTextAreaElement;

export function quiz(box: HTMLElement, host: BlockHost): (progress: Progress) => void {
  const { quiz: question = "", kind = "", points = "0" } = box.dataset;
  setAttribute(box, "role", "group");
  setAttribute(box, "aria-label", (box.firstElementChild?.textContent ?? "").trim().slice(0, 150) || strings.question);
  const file = kind === "file";
  const fields = kind === "single" || kind === "multiple" ? choices(box, kind) : file ? [] : [writing(box, kind)];
  const button = h("button", { class: "primary", attributes: { type: "button" } }, file ? strings.handIn : strings.answer);
  const line = h("p", { class: "say", attributes: { role: "status" } });
  const words = h("div", { class: "feedback" });
  const worth = h("span", { class: "points" }, Number(points) > 0 ? strings.worth(Number(points)) : "");
  box.append(h("div", { class: "row" }, button, line, worth), words);
  let shown = "";
  let over = false;

  button.addEventListener("click", () => void (async () => {
    if (button.getAttribute("aria-disabled")) return;
    setAttribute(button, "aria-disabled", "true");
    let fault = "";
    try {
      host.progressed(file
        ? await followed("collect", { question }, host.request)
        : (await host.request("answer", { question, given: given(fields) })).progress);
    } catch (error) {
      fault = (error as Error).message;
      host.failed(error as Error);
    }
    if (!over) setAttribute(button, "aria-disabled", null);
    if (fault) tell(fault, "bad");
  })());

  function tell(text: string, tone: string): void {
    setText(line, text);
    line.dataset["tone"] = tone;
  }

  return (progress) => {
    const state = progress.answers[question];
    const key = JSON.stringify(state ?? null);
    if (state === undefined || key === shown) return; // what is being written is not written over
    shown = key;
    fill(fields, state);
    tell(...verdict(state, file));
    const comment = state.comment ? [h("p", { class: "comment" }, state.comment)] : [];
    words.replaceChildren(...state.feedback.map(inertFragment), ...comment, ...solution(state, kind));
    if (kind in { single: 1, multiple: 1 }) markRight(box, state);
    over = state.over;
    if (!over) return;
    for (const field of fields) field.disabled = true;
    setAttribute(button, "aria-disabled", "true");
  };
}

function choices(box: HTMLElement, kind: string): Field[] {
  const name = freshId("quiz");
  return [...box.querySelectorAll<HTMLElement>("li[data-answer]")].map((item) => {
    const type = kind === "single" ? "radio" : "checkbox";
    const field = h("input", { attributes: { type, name, value: item.dataset["answer"] ?? "" } });
    item.replaceChildren(h("label", {}, field, h("span", {}, ...item.childNodes)));
    return field;
  });
}

function writing(box: HTMLElement, kind: string): Field {
  const attributes = { "aria-label": strings.yourAnswer, autocomplete: "off", spellcheck: "false" };
  const field = kind === "free"
    ? h("textarea", { attributes: { ...attributes, rows: 5 } })
    : h("input", { attributes: { ...attributes, type: "text", inputmode: kind === "number" ? "decimal" : "text" } });
  box.append(field);
  return field;
}

const chosen = (field: Field): boolean => field instanceof HTMLInputElement && field.type !== "text";

function given(fields: Field[]): string[] {
  return fields.filter((field) => !chosen(field) || (field as HTMLInputElement).checked).map((field) => field.value);
}

function fill(fields: Field[], state: AnswerState): void {
  for (const field of fields) {
    if (chosen(field)) (field as HTMLInputElement).checked = state.given.includes(field.value);
    else field.value = state.given[0] ?? "";
  }
}

function verdict(state: AnswerState, file: boolean): [text: string, tone: string] {
  const what = file ? strings.fileHandedIn(state.given[0] ?? "", Number(state.given[1])) : strings.handedIn;
  if (state.right === null) return [state.points === null ? what : strings.marked(state.points), "good"];
  if (state.right) return [strings.rightAnswer, "good"];
  return [state.left === null || state.over ? strings.wrongAnswer : strings.triesLeft(state.left), "bad"];
}

function solution(state: AnswerState, kind: string): Node[] {
  if (state.right || state.solution === null || kind === "single" || kind === "multiple") return [];
  return [h("p", {}, strings.solution(state.solution))];
}

function markRight(box: HTMLElement, state: AnswerState): void {
  for (const item of box.querySelectorAll<HTMLElement>("li[data-answer]")) {
    const right = state.solution?.includes(item.dataset["answer"] ?? "") ?? false;
    if (!right || item.classList.contains("right")) continue;
    item.classList.add("right");
    item.firstElementChild?.append(h("span", { class: "off-screen" }, ` ${strings.isRight}`));
  }
}
