// What a kind of pane is to the page: something that shows one stream after another in the same place.

import type { Reason } from "./contract.ts";
import type { Line } from "./gateway.ts";
import type { Name, Prefs } from "./prefs.ts";

/** How a stream tells the page of itself. */
export interface Listener {
  /** The first sign of life from behind the gateway. (A proxy in between says "open" too early to be believed.) */
  alive(): void;
  /** The stream has ended, or could not be opened. Called once. */
  ended(): void;
}

/** A button of the pane's own. */
export interface Action {
  label: string;
  title: string;
  run(): void;
}

/** Something asked of the machine was not done, or not to its end. */
export class Refused extends Error {
  constructor(readonly reason: Reason) {
    super(reason);
  }
}

export interface View {
  /** Open the pane's stream. */
  open(line: Line, listener: Listener): void;
  /** End the stream, if one is open; its listener hears of it. */
  close(): void;
  /** Type text into the machine, all of it or nothing. Rejects with Refused. */
  type(text: string): Promise<void>;
  /** Send text that was read first; `progress` hears how much of how much is typed. Rejects with Refused. */
  paste(text: string, progress?: (done: number, all: number) => void): Promise<void>;
  /** What pasting this text would do, in sentences. */
  preview(text: string): string[];
  /** Whether the machine has shown that it shares its clipboard (a server takes our text in any case, and may drop it). */
  readonly sharesClipboard: boolean;
  /** Put text on the machine's clipboard. */
  offer(text: string): void;
  /** Stop typing. */
  stop(): void;
  focus(): void;
  /** Whether keys go to the machine: then text can be sent too, and the keyboard has to be released. */
  readonly takesKeys: boolean;
  /** Let go of the keyboard. */
  release(): void;
  /** Take up what was chosen, now and whenever it changes; `watch`: nothing may reach the machine. */
  apply(prefs: Prefs, watch: boolean): void;
  /** Its buttons in the toolbar, and those among the further tools. */
  readonly elements: readonly HTMLElement[];
  readonly more: readonly Action[];
  /** What can be chosen for it. */
  readonly settings: readonly Name[];
}

/** What a pane is that can only be looked at, as far as keys and choices go. */
export abstract class OnlyShown implements View {
  readonly takesKeys = false;
  readonly sharesClipboard = false;
  readonly settings: readonly Name[] = [];
  readonly elements: readonly HTMLElement[] = [];
  readonly more: readonly Action[] = [];
  /** Ends what `open` began; there is nothing to end before. */
  protected end: () => void = () => {};

  /** `why` nothing can be typed. */
  constructor(private readonly why: Reason) {}

  abstract open(line: Line, listener: Listener): void;
  abstract focus(): void;

  close(): void {
    this.end();
  }

  async type(): Promise<void> {
    throw new Refused(this.why);
  }

  async paste(): Promise<void> {
    throw new Refused(this.why);
  }

  preview(): string[] {
    return [];
  }

  offer(): void {}
  stop(): void {}
  release(): void {}
  apply(): void {}

  /** Begin: `listener` hears the end once, and what is given back asks whether this is still what is shown. */
  protected begin(listener: Listener, cleanUp: () => void): () => boolean {
    const end = (): void => {
      cleanUp();
      this.end = () => {};
      listener.ended();
    };
    this.end = end;
    return () => this.end === end;
  }
}

/** A message that a stream takes as a sign of life and that does nothing, every KEEP_ALIVE_MS. */
export const KEEP_ALIVE_MS = 25_000;

/**
 * Whether a key event is the one that leaves the machine: Ctrl+Shift+Enter. Systems keep Escape with modifiers for
 * themselves (Windows, Chromium, GNOME), as they do function keys and Ctrl+Alt (VoiceOver); this chord is nobody's,
 * every keyboard has it without a further key, and in a terminal it could not be told from Enter.
 */
export function leaves(event: KeyboardEvent): boolean {
  return event.ctrlKey && event.shiftKey && !event.altKey && !event.metaKey && event.key === "Enter";
}
