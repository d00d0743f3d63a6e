// Text that waits to be typed into a machine until its pane is connected; not for ever, since later it would surprise.

/** Milliseconds. */
const PATIENCE = 30_000;

interface Waiting {
  text: string;
  typed(): void;
}

export class TypingQueue {
  private readonly waiting: Waiting[] = [];

  /** Resolves once the text was handed on; rejects with `sentence` where that does not come in time. */
  add(text: string, sentence: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const one: Waiting = { text, typed: () => (clearTimeout(timer), resolve()) };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(one), 1);
        reject(new Error(sentence));
      }, PATIENCE);
      this.waiting.push(one);
    });
  }

  flush(send: (text: string) => void): void {
    for (const one of this.waiting.splice(0)) {
      send(one.text);
      one.typed();
    }
  }
}
