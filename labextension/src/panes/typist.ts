// Presses key after key, at a pace that the machine can follow.

import type { Press } from "./keys.ts";
import { Refused } from "./view.ts";

/** Milliseconds from one key to the next. A machine's keyboard holds 16 bytes that it has not read: a busy machine
 * loses keys that come faster. */
export const PACES = { normal: 25, careful: 120 };

interface Job {
  presses: readonly Press[];
  at: number;
  pace: number;
  progress(done: number): void;
  resolve(): void;
  reject(error: Refused): void;
}

export class Typist {
  private jobs: Job[] = [];
  private timer = 0;

  constructor(private readonly press: (press: Press) => void) {}

  /** Resolves when the last key was pressed. Rejects with Refused. */
  type(presses: readonly Press[], pace: number, progress: (done: number) => void = () => {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.jobs.push({ presses, at: 0, pace, progress, resolve, reject });
      if (this.timer === 0) this.next();
    });
  }

  /** Give up what is not typed yet. */
  stop(reason: "cut" | "cancelled"): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    for (const job of this.jobs.splice(0)) job.reject(new Refused(reason));
  }

  private next(): void {
    const [job] = this.jobs;
    this.timer = 0;
    if (job === undefined) return;
    const press = job.presses[job.at];
    if (press === undefined) {
      this.jobs.shift();
      job.resolve();
      return this.next();
    }
    this.press(press);
    job.at += 1;
    job.progress(job.at);
    this.timer = window.setTimeout(() => this.next(), job.pace);
  }
}
