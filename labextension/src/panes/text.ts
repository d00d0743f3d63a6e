// The panes that show text: a terminal (ttyd) and a serial console, both drawn by xterm.js. What was printed stays
// when the stream is cut and opened again.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { Replay } from "./replay.ts";
import * as ttyd from "./ttyd.ts";
import { type Action, KEEP_ALIVE_MS, type Listener, type View, leaves } from "./view.ts";

/** How the bytes of a kind of text pane look on the wire. */
interface Wire {
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

// Bytes that xterm.js has not drawn yet: above the first, ttyd is asked to wait; below the second, to go on.
const HOLD_ABOVE = 512 * 1024;
const GO_ON_BELOW = 64 * 1024;
const SILENCE_MS = 700;
const CONSOLE_SIZE: ttyd.Size = { columns: 80, rows: 24 };

export class TextView implements View {
  readonly actions: readonly Action[];
  readonly hint: string;
  private readonly terminal: Terminal;
  private readonly fit = new FitAddon();
  private readonly wire: Wire;
  private readonly replay = new Replay();
  private socket: WebSocket | null = null;
  private finish: () => void = () => {};
  private waiting = 0;
  private held = false;

  constructor(
    private readonly place: HTMLElement,
    private readonly kind: "terminal" | "console",
    label: string,
    leave: () => void,
    copy: (text: string) => void,
  ) {
    this.actions = [
      { label: "Copy", title: "Copy what is selected (Ctrl+Shift+C)", run: () => copy(this.terminal.getSelection()) },
    ];
    this.wire = kind === "terminal" ? TERMINAL : CONSOLE;
    this.hint = kind === "console" ? "Press Enter if nothing is shown." : "Ctrl+Shift+Esc leaves it.";
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    this.terminal = new Terminal({
      cursorBlink: false,
      fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
      fontSize: 14.5,
      screenReaderMode: false,
      scrollback: 5000,
      theme: { background: colour("--term"), foreground: colour("--term-ink") },
    });
    this.terminal.loadAddon(this.fit);
    this.terminal.open(place);
    this.terminal.textarea?.setAttribute("aria-label", `${label}. Leave with Control Shift Escape.`);
    this.terminal.onData((data) => this.send(this.wire.input(data)));
    this.terminal.onBinary((data) => this.send(this.wire.input(Uint8Array.from(data, (c) => c.charCodeAt(0)))));
    this.terminal.attachCustomKeyEventHandler((event) => this.key(event, leave, copy));
    new ResizeObserver(() => this.resize()).observe(place);
    this.resize();
  }

  open(socket: WebSocket, listener: Listener): void {
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.waiting = 0;
    this.held = false;
    this.replay.begin();
    let silence = 0;
    const keepAlive = window.setInterval(() => this.send(this.wire.keepAlive(this.size)), KEEP_ALIVE_MS);
    socket.onopen = () => {
      for (const message of this.wire.opened(this.size)) this.send(message);
      // A console may have nothing to say. Staying open for a while is then its sign of life.
      if (this.kind === "console") silence = window.setTimeout(() => listener.alive(), SILENCE_MS);
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
      if (typeof event.data === "string") return;
      window.clearTimeout(silence);
      listener.alive();
      const output = this.wire.output(event.data);
      if (output) this.show(this.kind === "console" ? this.replay.unseen(output) : output);
    };
    this.finish = () => {
      window.clearTimeout(silence);
      window.clearInterval(keepAlive);
      socket.onmessage = socket.onclose = null;
      this.socket = null;
      listener.ended();
    };
    socket.onclose = this.finish;
  }

  close(): void {
    if (this.socket === null) return;
    this.socket.close();
    this.finish(); // not when the other end agrees: a paused machine does not answer
  }

  type(text: string): void {
    this.terminal.input(text.replace(/\r\n?|\n/g, "\r"));
  }

  focus(): void {
    this.terminal.focus();
  }

  private get size(): ttyd.Size {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  private send(message: Uint8Array | ""): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  private show(data: Uint8Array): void {
    this.waiting += data.length;
    this.terminal.write(data, () => {
      this.waiting -= data.length;
      this.hold(this.held && this.waiting > GO_ON_BELOW);
    });
    this.hold(this.held || this.waiting > HOLD_ABOVE);
  }

  private hold(hold: boolean): void {
    if (hold === this.held) return;
    this.held = hold;
    for (const message of this.wire.held(hold)) this.send(message);
  }

  private resize(): void {
    if (this.place.clientWidth === 0) return; // hidden: a tab in the background
    const before = this.size;
    if (this.kind === "console") {
      // A serial line tells no size: its machine believes in 80 by 24, so it never gets less.
      const fitting = this.fit.proposeDimensions();
      const columns = Math.max(CONSOLE_SIZE.columns, fitting?.cols ?? 0);
      this.terminal.resize(columns, Math.max(CONSOLE_SIZE.rows, fitting?.rows ?? 0));
    } else {
      this.fit.fit();
    }
    if (this.size.columns === before.columns && this.size.rows === before.rows) return;
    for (const message of this.wire.resized(this.size)) this.send(message);
  }

  private key(event: KeyboardEvent, leave: () => void, copy: (text: string) => void): boolean {
    if (leaves(event)) {
      event.preventDefault();
      if (event.type === "keydown") leave();
      return false;
    }
    if (event.ctrlKey && event.shiftKey && event.code === "KeyC") {
      event.preventDefault();
      if (event.type === "keydown") copy(this.terminal.getSelection());
      return false;
    }
    // The browser's own paste: xterm.js takes the event that follows.
    return !(event.ctrlKey && event.shiftKey && event.code === "KeyV");
  }
}
