// What a kind of pane is to the page: something that shows one stream after another in the same place.

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

export interface View {
  /** Open a stream with this WebSocket, not yet open. */
  open(socket: WebSocket, listener: Listener): void;
  /** End the stream, if one is open; its listener hears of it. */
  close(): void;
  /** Type text into the machine. */
  type(text: string): void;
  focus(): void;
  readonly actions: readonly Action[];
  /** A sentence that helps once the stream is open. */
  readonly hint: string;
}

/** A message that a stream takes as a sign of life and that does nothing, every KEEP_ALIVE_MS. */
export const KEEP_ALIVE_MS = 25_000;

/** Whether a key event is the one that leaves the machine: Ctrl+Shift+Escape. */
export function leaves(event: KeyboardEvent): boolean {
  return event.ctrlKey && event.shiftKey && event.key === "Escape";
}
