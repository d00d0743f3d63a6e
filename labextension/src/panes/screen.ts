// The pane that shows a machine's screen, drawn by noVNC over the gateway's WebSocket.

import RFB from "@novnc/novnc";
import { type Press, presses } from "./keys.ts";
import { type Action, KEEP_ALIVE_MS, type Listener, type View, leaves } from "./view.ts";

const SHIFT = { keysym: 0xffe1, code: "ShiftLeft" };
// A machine's keyboard holds 16 bytes that it has not read; a slow machine loses keys that come faster than this.
const KEY_MS = 25;

export class ScreenView implements View {
  readonly hint = "Ctrl+Shift+Esc leaves it.";
  readonly actions: readonly Action[];
  private rfb: RFB | null = null;
  private queue: Press[] = [];
  private typing = 0;

  constructor(
    private readonly place: HTMLElement,
    private readonly label: string,
    leave: () => void,
  ) {
    this.actions = [
      { label: "Ctrl+Alt+Del", title: "Send Ctrl+Alt+Delete to the machine", run: () => this.rfb?.sendCtrlAltDel() },
      {
        label: "Release keyboard",
        title: "Give the keyboard back to this page (Ctrl+Shift+Escape)",
        run: () => this.release(leave),
      },
    ];
    // Before noVNC sees it: else the machine would get the keys, and the page none.
    place.addEventListener("keydown", (event) => this.key(event, leave), { capture: true });
  }

  open(socket: WebSocket, listener: Listener): void {
    const rfb = new RFB(this.place, socket, { shared: true });
    rfb.scaleViewport = true;
    rfb.background = "transparent";
    this.rfb = rfb;
    this.describe();
    const keepAlive = window.setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) socket.send("");
    }, KEEP_ALIVE_MS);
    rfb.addEventListener("connect", () => listener.alive());
    rfb.addEventListener(
      "disconnect",
      () => {
        window.clearInterval(keepAlive);
        this.queue = [];
        if (this.rfb === rfb) this.rfb = null;
        listener.ended();
      },
      { once: true },
    );
  }

  close(): void {
    this.rfb?.disconnect();
  }

  type(text: string): void {
    this.queue.push(...presses(text));
    if (this.typing === 0) this.typing = window.setInterval(() => this.press(), KEY_MS);
  }

  focus(): void {
    this.rfb?.focus();
  }

  private press(): void {
    const next = this.queue.shift();
    if (next === undefined || this.rfb === null) {
      window.clearInterval(this.typing);
      this.typing = 0;
      return;
    }
    if (next.shift) this.rfb.sendKey(SHIFT.keysym, SHIFT.code, true);
    this.rfb.sendKey(next.keysym, next.code);
    if (next.shift) this.rfb.sendKey(SHIFT.keysym, SHIFT.code, false);
  }

  private describe(): void {
    const canvas = this.place.querySelector("canvas");
    canvas?.setAttribute("role", "application");
    canvas?.setAttribute("aria-label", `${this.label}. It takes every key; leave with Control Shift Escape.`);
    canvas?.setAttribute("tabindex", "0");
  }

  private key(event: KeyboardEvent, leave: () => void): void {
    if (!leaves(event)) return;
    event.preventDefault();
    event.stopPropagation();
    this.release(leave);
  }

  private release(leave: () => void): void {
    // noVNC lets go of the keys that the machine holds for pressed when the window loses the focus, not when its
    // canvas does: without this, Control and Shift would stay down in the machine.
    window.dispatchEvent(new Event("blur"));
    this.rfb?.blur();
    leave();
  }
}
