// One pane's life: ask for its state, open its stream, find out why it ended, try again. Draws nothing.

import { delay, takenOver } from "./backoff.ts";
import type { PageState, PaneInfo, PaneType } from "./contract.ts";
import { type Answer, Line, askState } from "./gateway.ts";
import { strings } from "./strings.ts";
import type { View } from "./view.ts";

/** What the session needs of the page around it. */
export interface Surroundings {
  /** Show a state: one word for the embedding page, one sentence for people. */
  say(state: PageState, text: string): void;
  /** The view for this kind of pane; the same one each time. */
  view(info: PaneInfo): View;
  /** What to say once it is connected. */
  greeting(info: PaneInfo): string;
  /** A new ticket from the embedding page, or null. */
  freshTicket(): Promise<string | null>;
}

const POLL_MS = 2_500;
const STABLE_MS = 5_000;
/** How long a machine may leave a key unanswered before we ask whether it is paused: a stream tells nothing of that. */
const UNANSWERED_MS = 2_000;
/** Panes that are a connection into the machine: many may have one, and a paused machine takes none. */
const DIALLED: readonly PaneType[] = ["terminal", "exec", "http"];
/** Refusals that a new ticket may cure. */
const CURABLE = ["missing", "expired", "invalid", "revoked"];

/** What to do after an answer: try again after some ms, or wait until somebody asks for it. */
type Next = { after: number } | "asked";

export class Session {
  private failures = 0;
  private asked = false;
  private readonly lifetimes: number[] = [];
  private wake: () => void = () => {};
  private view: View | null = null;
  private unanswered = 0;
  private paused = false;

  constructor(
    public ticket: string | null,
    private readonly around: Surroundings,
  ) {}

  /** Run until the page goes away. */
  async run(): Promise<never> {
    for (;;) {
      const next = await this.attempt();
      await this.pause(next);
    }
  }

  /** Try now, whatever the session waits for; `ticket` replaces the one in use. */
  retry(ticket?: string): void {
    if (ticket !== undefined) this.ticket = ticket;
    this.wake();
  }

  /** A ticket that is good now, as far as one can be had. */
  async goodTicket(): Promise<string> {
    await this.answer();
    return this.ticket ?? "";
  }

  /** The button: end the stream if one is open, and open it again. */
  reconnect(): void {
    this.failures = 0;
    this.lifetimes.length = 0;
    this.asked = true;
    this.around.say("connecting", strings.connecting);
    this.view?.close();
    this.wake();
  }

  /** Somebody pressed a key or a button of the mouse in the pane. */
  touched(): void {
    if (this.view !== null && this.unanswered === 0) this.askIn(UNANSWERED_MS);
  }

  /** The machine sent something: an answer. (The screen of a paused one is sent too.) */
  private heard(): void {
    if (!this.paused) this.forget();
  }

  private askIn(ms: number): void {
    this.unanswered = window.setTimeout(() => void this.askWhetherPaused(), ms);
  }

  private forget(): void {
    window.clearTimeout(this.unanswered);
    this.unanswered = 0;
  }

  /** The stream is open: say whether the machine is paused, and go on asking while it is. */
  private async askWhetherPaused(): Promise<void> {
    const { view, unanswered } = this;
    const answer = await this.answer();
    if (view === null || view !== this.view || unanswered !== this.unanswered) return;
    this.unanswered = 0;
    if (answer.kind === "info") this.greet(answer.info);
    else if (this.paused) this.askIn(POLL_MS);
  }

  private greet(info: PaneInfo): void {
    this.paused = info.state === "paused";
    if (this.paused) {
      this.around.say("paused", strings.connectedPaused(info.machine));
      this.askIn(POLL_MS);
    } else this.around.say("connected", this.around.greeting(info));
  }

  private async attempt(): Promise<Next> {
    if (this.failures === 0) this.around.say("connecting", strings.connecting);
    const answer = await this.answer();
    if (answer.kind === "lost") return this.lost(strings.away);
    if (answer.kind === "refused") return this.refused(answer.status, answer.refusal.error);
    const { info } = answer;
    switch (info.state) {
      case "starting":
        this.around.say("starting", strings.starting(info.machine));
        return { after: POLL_MS };
      case "paused":
        if (!DIALLED.includes(info.type)) break;
        this.around.say("paused", strings.paused(info.machine));
        return { after: POLL_MS };
      case "stopped":
      case "failed":
        this.around.say("stopped", strings[info.state](info.machine));
        return { after: POLL_MS };
    }
    if (this.cutByAnother(info)) {
      this.around.say("taken-over", strings.takenOver(strings.names[info.type]));
      return "asked";
    }
    return await this.stream(info);
  }

  /** Whether we just lost the stream to somebody else: where only one may hold it, the newest wins. */
  private cutByAnother(info: PaneInfo): boolean {
    if (this.asked || info.mode === "view" || DIALLED.includes(info.type) || this.lifetimes.length === 0) return false;
    return takenOver(info.streams, this.lifetimes);
  }

  /** The gateway's answer; with a new ticket where the one in use is refused. */
  private async answer(): Promise<Answer> {
    const answer = await askState(this.ticket);
    if (answer.kind !== "refused" || !CURABLE.includes(answer.refusal.reason ?? "")) return answer;
    const fresh = await this.around.freshTicket();
    if (fresh === null) return answer;
    this.ticket = fresh;
    return await askState(fresh);
  }

  private async stream(info: PaneInfo): Promise<Next> {
    const view = this.around.view(info);
    this.view = view;
    this.asked = false;
    let aliveAt = 0;
    await new Promise<void>((resolve) => {
      view.open(new Line(info.type, this.ticket ?? "", () => this.heard()), {
        alive: () => {
          if (aliveAt > 0) return;
          aliveAt = performance.now();
          this.greet(info);
        },
        ended: resolve,
      });
    });
    this.view = null;
    this.paused = false;
    this.forget();
    if (aliveAt === 0) {
      this.failures += 1;
      const why = info.mode === "view" ? strings.unwatched : strings.notYet(strings.names[info.type], info.machine);
      this.around.say("starting", why);
      return { after: delay(this.failures, Math.random()) };
    }
    const lifetime = performance.now() - aliveAt;
    this.lifetimes.push(lifetime);
    this.failures = lifetime > STABLE_MS ? 0 : this.failures + 1;
    this.around.say("connecting", strings.cut);
    return { after: this.asked ? 0 : delay(this.failures, Math.random()) };
  }

  private lost(text: string): Next {
    this.failures += 1;
    this.around.say("lost", strings.again(text));
    return { after: delay(this.failures, Math.random()) };
  }

  private refused(status: number, error: string): Next {
    if (status === 404) {
      this.around.say("stopped", error);
      return { after: POLL_MS };
    }
    if (status >= 500) return this.lost(error);
    this.around.say("forbidden", error);
    return "asked";
  }

  private pause(next: Next): Promise<void> {
    return new Promise((resolve) => {
      const timer = next === "asked" ? 0 : window.setTimeout(resolve, next.after);
      this.wake = () => {
        window.clearTimeout(timer);
        this.wake = () => {};
        resolve();
      };
    });
  }
}
