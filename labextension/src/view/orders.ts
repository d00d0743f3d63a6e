// What a pane is asked to do: waits until the pane is connected (not for ever, since later it would surprise), and is
// done when the pane page says so.
import type { FromPane, Order } from "./contract.ts";
import { freshId } from "./dom.ts";

/** Milliseconds. */
const PATIENCE = 30_000;

interface Waiting {
  order: Order;
  sent: boolean;
  done(): void;
  refuse(sentence: string): void;
}

export class Orders {
  private readonly waiting = new Map<string, Waiting>();

  /** Resolves once the pane has done it; rejects with its reason, or with `sentence` where nothing comes in time. */
  add(type: Order["type"], text: string, sentence: string): Promise<void> {
    const id = freshId("order");
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => one.refuse(sentence), PATIENCE);
      const over = (): void => {
        clearTimeout(timer);
        this.waiting.delete(id);
      };
      const one: Waiting = {
        order: { type, id, text },
        sent: false,
        done: () => (over(), resolve()),
        refuse: (reason) => (over(), reject(new Error(reason))),
      };
      this.waiting.set(id, one);
    });
  }

  flush(send: (order: Order) => void): void {
    for (const one of this.waiting.values()) {
      if (!one.sent) send(one.order);
      one.sent = true;
    }
  }

  hear(message: FromPane): void {
    if (message.type === "labkit:done") this.waiting.get(message.id)?.done();
    if (message.type === "labkit:refused") this.waiting.get(message.id)?.refuse(message.text);
  }
}
