// One step: a card with its tick, its points, its text and, where it has one, its check.
import { followed } from "./check.ts";
import type { Content } from "./blocks.ts";
import type { CheckResult, Progress, Request, Status, StepPart } from "./contract.ts";
import { freshId, h, setAttribute, setText } from "./dom.ts";
import { isDone } from "./progress.ts";
import { strings } from "./strings.ts";

export interface StepHost {
  request: Request;
  content(html: string): Content;
  /** A fresh progress, newer than any status that is still on its way. */
  progressed(progress: Progress): void;
  /** Told of every request that failed, so that a lost connection can be shown. */
  failed(error: Error): void;
}

export class Step {
  readonly id: string;
  readonly element: HTMLElement;
  private readonly tick = h("input", { class: "tick", attributes: { type: "checkbox" } });
  private readonly points = h("span", { class: "points" });
  private readonly button = h("button", { class: "primary", attributes: { type: "button" } }, strings.check);
  private readonly line = h("p", { class: "say", attributes: { role: "status" } });
  private readonly content: Content;
  private latest: Status | undefined;
  private shown: CheckResult | undefined;
  private busy = false;
  /** When the check is next to be run by itself: a time of `performance.now()`. */
  private due = 0;

  constructor(private readonly part: StepPart, private readonly host: StepHost) {
    this.id = part.id;
    this.content = host.content(part.html);
    const heading = h("h3", { attributes: { id: freshId("step") } }, h("label", {}, this.tick, h("span", {}, part.title)));
    this.element = h("section", { class: "step", attributes: { "aria-labelledby": heading.id } },
      h("div", { class: "step-top" }, heading, this.points), this.content.fragment,
      h("div", { class: "row" }, ...(part.check ? [this.button] : []), this.line));
    setAttribute(this.button, "aria-describedby", heading.id);
    if (part.check) this.lockTick();
    this.tick.addEventListener("change", () => void this.attempt(() => this.sendTick()));
    this.button.addEventListener("click", () => this.check());
  }

  /** The step is scrolled to, and a screen reader hears of it. */
  focus(): void {
    this.element.tabIndex = -1;
    this.element.scrollIntoView({ block: "nearest" });
    this.element.focus({ preventScroll: true });
  }

  /** `current` marks the first step of the page that is not done. */
  update(status: Status, current: boolean): void {
    this.latest = status;
    this.content.update(status.progress);
    const done = isDone(this.id, status.progress);
    const { points } = this.part;
    this.element.classList.toggle("done", done);
    this.element.classList.toggle("now", current);
    setText(this.points, points > 0 ? strings.points(done ? points : 0, points) : "");
    if (this.busy) return;
    this.tick.checked = done;
    setAttribute(this.button, "aria-disabled", status.lab.state === "running" ? null : "true");
    const result = status.progress.results[this.id];
    if (result && !same(result, this.shown)) this.tell(...verdictText(result));
    else if (!result && this.part.check && this.line.textContent === "") this.tell(this.howTicked());
    this.shown = result;
    if (this.part.poll > 0 && !done && status.lab.state === "running" && performance.now() >= this.due) void this.poll();
  }

  private howTicked(): string {
    return this.part.poll > 0 ? strings.tickedByItself : strings.tickedByCheck;
  }

  /**
   * The check by itself. A status, which is only asked for while the view can be seen, has led here: so this rests when
   * that does. Nothing is said until it passes: nobody asked.
   */
  private async poll(): Promise<void> {
    this.due = Infinity;
    try {
      const progress = await followed("poll", { step: this.id }, this.host.request);
      if (isDone(this.id, progress)) this.host.progressed(progress);
    } catch (error) {
      this.host.failed(error as Error);
    }
    this.due = performance.now() + this.part.poll * 1000;
  }

  /** The check decides this step: the box shows it, and says why it cannot be clicked. */
  private lockTick(): void {
    const why = h("span", { class: "off-screen", attributes: { id: freshId("why") } }, this.howTicked());
    this.tick.disabled = true;
    this.tick.title = this.howTicked();
    setAttribute(this.tick, "aria-describedby", why.id);
    this.element.append(why);
  }

  private async sendTick(): Promise<Progress> {
    return (await this.host.request("tick", { step: this.id, done: this.tick.checked })).progress;
  }

  private check(): void {
    if (this.busy) return;
    if (this.latest?.lab.state !== "running") return this.tell(strings.checkNeedsLab);
    this.tell(strings.checking);
    void this.attempt(() => followed("check", { step: this.id }, this.host.request));
  }

  private async attempt(work: () => Promise<Progress>): Promise<void> {
    this.busy = true;
    this.shown = undefined; // the answer is news, even where it says the same as the last one
    setAttribute(this.button, "aria-disabled", "true");
    let fault = "";
    try {
      this.host.progressed(await work());
    } catch (error) {
      fault = (error as Error).message;
      this.host.failed(error as Error);
    }
    this.busy = false;
    this.tell("");
    if (this.latest) this.update(this.latest, this.element.classList.contains("now"));
    if (fault) this.tell(fault, "bad");
  }

  private tell(text: string, tone = ""): void {
    setText(this.line, text);
    this.line.dataset["tone"] = tone;
  }
}

/** Status answers repeat the last result; only a new one may replace what the line says. */
function same(a: CheckResult, b: CheckResult | undefined): boolean {
  return a.time === b?.time && a.verdict === b.verdict && a.feedback === b.feedback;
}

function verdictText({ verdict, feedback, time }: CheckResult): [text: string, tone: string] {
  const clock = new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const when = strings.checkedAt(clock);
  if (verdict === "passed") return [`${strings.passed(feedback)} ${when}`, "good"];
  if (verdict === "not_yet") return [`${strings.notYet(feedback)} ${when}`, "bad"];
  return [`${strings.checkFault(feedback)} ${when}`, "bad"];
}
