// How the bytes of each kind of text pane look on the wire.

import type { PaneType } from "./contract.ts";
import * as ttyd from "./ttyd.ts";

export interface Wire {
  opened(size: ttyd.Size): Uint8Array[];
  input(data: string | Uint8Array): Uint8Array;
  resized(size: ttyd.Size): Uint8Array[];
  keepAlive(size: ttyd.Size): Uint8Array | "";
  output(message: ArrayBuffer): Uint8Array | null;
  held(hold: boolean): Uint8Array[];
}

const encoder = new TextEncoder();

/** KubeVirt drops text messages: input goes in binary ones, and an empty text one is a sign of life. */
const CONSOLE: Wire = {
  opened: () => [],
  input: (data) => (typeof data === "string" ? encoder.encode(data) : data),
  resized: () => [],
  keepAlive: () => "",
  output: (message) => new Uint8Array(message),
  held: () => [],
};

const TERMINAL: Wire = {
  opened: (size) => [ttyd.hello(size)],
  input: ttyd.input,
  resized: (size) => [ttyd.resize(size)],
  keepAlive: ttyd.resize,
  output: (message) => {
    const found = ttyd.read(message);
    return found.kind === "output" ? found.data : null;
  },
  held: (hold) => [hold ? ttyd.pause() : ttyd.resume()],
};

export type TextType = Exclude<PaneType, "vnc" | "http">;

/** The gateway speaks a shell's stream to us as a terminal's. */
export const WIRES: Record<TextType, Wire> = { console: CONSOLE, terminal: TERMINAL, exec: TERMINAL };
