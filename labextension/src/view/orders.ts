// What a pane is asked to do waits until the pane is connected, and then for its answer; not for ever, since later it
// would surprise.

import type { Order } from "./contract.ts";

/** Milliseconds: to be connected, and to type it all. */
const PATIENCE = { connection: 30_000, answer: 120_000 };

interface Waiting {
  order: Order;
  sent: boolean;
  sentence: string;
  timer: ReturnType<typeof setTimeout>;
  settle(error?: Error): void;
}

export class Orders {
  private readonly waiting = new Map<string, Waiting>();
  private count = 0;

  /** Resolves once it was done; rejects with the pane's own sentence, or with `sentence` where no answer comes in time. */
  add(type: Order["type"], text: string, sentence: string): Promise<void> {
    this.count += 1;
    const id = String(this.count);
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(one.timer);
        this.waiting.delete(id);
        if (error) reject(error);
        else resolve();
      };
      const timer = setTimeout(() => settle(new Error(sentence)), PATIENCE.connection);
      const one: Waiting = { order: { type, id, text }, sent: false, sentence, timer, settle };
      this.waiting.set(id, one);
    });
  }

  /** Send what was not sent yet. */
  flush(send: (order: Order) => void): void {
    for (const one of this.waiting.values()) {
      if (one.sent) continue;
      one.sent = true;
      clearTimeout(one.timer);
      one.timer = setTimeout(() => one.settle(new Error(one.sentence)), PATIENCE.answer);
      send(one.order);
    }
  }

  /** The pane's answer to an order. */
  answered(id: string, refusal?: string): void {
    this.waiting.get(id)?.settle(refusal === undefined ? undefined : new Error(refusal));
  }
}
