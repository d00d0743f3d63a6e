// The panes that show text: terminal, shell and serial console, drawn by xterm.js. What was printed stays when the
// stream is cut and opened again.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { h } from "../view/dom.ts";
import { Find } from "./find.ts";
import type { Line } from "./gateway.ts";
import type { Prefs } from "./prefs.ts";
import { Replay } from "./replay.ts";
import { strings } from "./strings.ts";
import { LOOKS } from "./themes.ts";
import type { Size } from "./ttyd.ts";
import { type Action, KEEP_ALIVE_MS, type Listener, Refused, type View, leaves } from "./view.ts";
import { type TextType, WIRES, type Wire } from "./wires.ts";

// Bytes that xterm.js has not drawn yet: above the first, ttyd is asked to wait; below the second, to go on.
const HOLD_ABOVE = 512 * 1024;
const GO_ON_BELOW = 64 * 1024;
const SILENCE_MS = 700;
const CONSOLE_SIZE: Size = { columns: 80, rows: 24 };

/** What the pane needs of the page around it. */
export interface TextHost {
  leave(): void;
  remark(text: string): void;
  copy(text: string): void;
}

export class TextView implements View {
  readonly settings = ["size", "theme", "reader", "input"] as const;
  readonly takesKeys = true;
  readonly elements: readonly HTMLElement[];
  readonly more: readonly Action[] = [];
  readonly sharesClipboard = false;
  private readonly terminal: Terminal;
  private readonly fit = new FitAddon();
  private readonly find: Find;
  private readonly wire: Wire;
  private readonly replay = new Replay();
  private socket: WebSocket | null = null;
  private finish: () => void = () => {};
  private waiting = 0;
  private held = false;
  private watch = false;

  constructor(
    private readonly place: HTMLElement,
    private readonly kind: TextType,
    label: string,
    private readonly host: TextHost,
  ) {
    this.wire = WIRES[kind];
    this.terminal = new Terminal({
      cursorBlink: false,
      fontFamily: "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
      scrollback: 5000,
      allowProposedApi: true, // the search's marks
    });
    this.terminal.loadAddon(this.fit);
    this.find = new Find(place, this.terminal);
    this.terminal.open(place);
    this.terminal.textarea?.setAttribute("aria-label", `${label}. ${strings.leaveWith}`);
    this.terminal.onData((data) => this.send(this.wire.input(data)));
    this.terminal.onBinary((data) => this.send(this.wire.input(Uint8Array.from(data, (c) => c.charCodeAt(0)))));
    this.terminal.attachCustomKeyEventHandler((event) => this.key(event));
    const find = (): void => this.find.open();
    this.elements = [
      h("button", { attributes: { type: "button", title: strings.findTitle }, on: { click: find } }, strings.find),
    ];
    new ResizeObserver(() => this.resize()).observe(place);
  }

  open(line: Line, listener: Listener): void {
    const socket = line.socket();
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.waiting = 0;
    this.held = false;
    this.replay.begin();
    let silence = 0;
    const keepAlive = window.setInterval(() => this.send(this.wire.keepAlive(this.size)), KEEP_ALIVE_MS);
    socket.onopen = () => {
      for (const message of this.wire.opened(this.size)) this.send(message);
      // A console may have nothing to say, and who is watched may read. Staying open for a while is then the sign of life.
      if (this.kind === "console" || this.watch) silence = window.setTimeout(() => this.silent(listener), SILENCE_MS);
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

  async type(text: string): Promise<void> {
    if (this.socket === null) throw new Refused("not-connected");
    this.terminal.input(text.replace(/\r\n?|\n/g, "\r"));
  }

  async paste(text: string): Promise<void> {
    if (this.socket === null) throw new Refused("not-connected");
    this.terminal.paste(text); // in brackets, where the program in the machine asked for them
  }

  preview(text: string): string[] {
    return [strings.previewText([...text].length, text === "" ? 0 : text.split(/\r\n?|\n/).length)];
  }

  offer(): void {}

  stop(): void {}

  focus(): void {
    this.terminal.focus();
  }

  release(): void {
    this.terminal.blur();
  }

  apply(prefs: Prefs, watch: boolean): void {
    this.watch = watch;
    Object.assign(this.terminal.options, LOOKS[prefs.theme], {
      fontSize: Number(prefs.size),
      screenReaderMode: prefs.reader === "on",
      disableStdin: watch || prefs.input === "off",
    });
    if (this.place.parentElement) this.place.parentElement.dataset["look"] = prefs.theme;
    this.resize();
  }

  private silent(listener: Listener): void {
    listener.alive();
    if (!this.watch) this.host.remark(strings.silent);
  }

  private get size(): Size {
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

  /** Whether xterm.js may have a key event. */
  private key(event: KeyboardEvent): boolean {
    const { leave, copy } = this.host;
    if (leaves(event)) return this.take(event, leave);
    if (!event.ctrlKey || !event.shiftKey) return true;
    if (event.code === "KeyC") return this.take(event, () => copy(this.terminal.getSelection()));
    if (event.code === "KeyF") return this.take(event, () => this.find.open());
    return event.code !== "KeyV"; // the browser's own paste: xterm.js takes the event that follows
  }

  private take(event: KeyboardEvent, act: () => void): false {
    event.preventDefault();
    if (event.type === "keydown") act();
    return false;
  }
}
