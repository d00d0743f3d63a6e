// The pane that shows a machine's screen, drawn by noVNC over the gateway's WebSocket.

import RFB from "@novnc/novnc";
import { h } from "../view/dom.ts";
import { ALTGR, CHORDS, type Key, type Press, SHIFT, chord, presses } from "./keys.ts";
import type { Line } from "./gateway.ts";
import { Panel } from "./panel.ts";
import type { Prefs } from "./prefs.ts";
import { save } from "./save.ts";
import { strings } from "./strings.ts";
import { PACES, Typist } from "./typist.ts";
import { type Action, KEEP_ALIVE_MS, type Listener, Refused, type View, leaves } from "./view.ts";

/** noVNC's levels, 0 to 9. Pictures lose quality only where the machine's server is set to allow it. */
const QUALITY = { slow: { picture: 2, packing: 9 }, normal: { picture: 6, packing: 2 }, best: { picture: 9, packing: 0 } };

/** What the screen needs of the page around it. */
export interface ScreenHost {
  leave(): void;
  remark(text: string): void;
  copy(text: string): void;
}

export class ScreenView implements View {
  readonly settings = ["fit", "quality", "input", "layout", "keys", "pace"] as const;
  readonly takesKeys = true;
  readonly elements: readonly HTMLElement[];
  readonly more: readonly Action[];
  private rfb: RFB | null = null;
  private prefs!: Prefs;
  private watch = false;
  private clipboard = "";
  private readonly typist = new Typist((press) => this.press(press));

  constructor(
    private readonly place: HTMLElement,
    private readonly label: string,
    private readonly host: ScreenHost,
  ) {
    const keys = CHORDS.map((name) =>
      h("button", { attributes: { type: "button" }, on: { click: () => this.send(chord(name)) } }, name));
    this.elements = [new Panel(strings.keys, strings.keysTitle, h("div", { class: "keys" }, ...keys)).element];
    this.more = [
      { label: strings.screenshot, title: strings.screenshotTitle, run: () => this.screenshot() },
      { label: strings.machineClipboard, title: strings.machineClipboardTitle, run: () => this.copyClipboard() },
    ];
    // Before noVNC sees it: else the machine would get the keys, and the page none.
    place.addEventListener("keydown", (event) => this.key(event), { capture: true });
  }

  open(line: Line, listener: Listener): void {
    const socket = line.socket();
    const rfb = new RFB(this.place, socket, { shared: true });
    rfb.background = "transparent";
    this.rfb = rfb;
    this.apply(this.prefs, this.watch);
    this.describe();
    const keepAlive = window.setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) socket.send("");
    }, KEEP_ALIVE_MS);
    rfb.addEventListener("connect", () => listener.alive());
    rfb.addEventListener("clipboard", (event) => {
      this.clipboard = (event as CustomEvent<{ text: string }>).detail.text;
      this.host.remark(strings.clipboardChanged);
    });
    const end = (): void => {
      window.clearInterval(keepAlive);
      this.typist.stop("cut");
      if (this.rfb === rfb) this.rfb = null;
      listener.ended();
    };
    rfb.addEventListener("disconnect", end, { once: true });
  }

  close(): void {
    this.rfb?.disconnect();
  }

  async type(text: string): Promise<void> {
    const typing = presses(text, this.prefs.layout);
    if (typing.left.length > 0) throw new Refused("untypable");
    await this.typist.type(typing.presses, PACES[this.prefs.pace]);
  }

  async paste(text: string, progress?: (done: number, all: number) => void): Promise<void> {
    const typing = presses(text, this.prefs.layout);
    await this.typist.type(typing.presses, PACES[this.prefs.pace], (done) => progress?.(done, typing.presses.length));
  }

  preview(text: string): string[] {
    const typing = presses(text, this.prefs.layout);
    const said = [strings.preview(typing.presses.length, (typing.presses.length * PACES[this.prefs.pace]) / 1000)];
    const layout = strings.settings.layout.choices[this.prefs.layout];
    if (typing.left.length > 0) said.push(strings.untypable(typing.left, layout));
    return said;
  }

  get sharesClipboard(): boolean {
    return this.clipboard !== "" && this.rfb?.viewOnly === false;
  }

  offer(text: string): void {
    this.rfb?.clipboardPasteFrom(text);
  }

  stop(): void {
    this.typist.stop("cancelled");
  }

  focus(): void {
    this.rfb?.focus();
  }

  release(): void {
    // noVNC lets go of the keys that the machine holds for pressed when the window loses the focus, not when its
    // canvas does: without this, Control and Shift would stay down in the machine.
    window.dispatchEvent(new Event("blur"));
    this.rfb?.blur();
  }

  apply(prefs: Prefs, watch: boolean): void {
    this.prefs = prefs;
    this.watch = watch;
    const { rfb } = this;
    if (rfb === null) return;
    const { picture, packing } = QUALITY[prefs.quality];
    rfb.scaleViewport = prefs.fit !== "full";
    rfb.resizeSession = prefs.fit === "follow";
    rfb.viewOnly = watch || prefs.input === "off";
    rfb.qualityLevel = picture;
    rfb.compressionLevel = packing;
  }

  private press(press: Press): void {
    const held = [...(press.altgr ? [ALTGR] : []), ...(press.shift ? [SHIFT] : [])];
    this.send([...held, press]);
  }

  /** Press keys one after another and let them go in reverse. */
  private send(keys: readonly Key[]): void {
    for (const { keysym, code } of keys) this.rfb?.sendKey(keysym, code, true);
    for (const { keysym, code } of [...keys].reverse()) this.rfb?.sendKey(keysym, code, false);
  }

  private describe(): void {
    const canvas = this.place.querySelector("canvas");
    canvas?.setAttribute("role", "application");
    canvas?.setAttribute("aria-label", `${this.label}. ${strings.leaveWith}`);
    canvas?.setAttribute("tabindex", "0");
  }

  private key(event: KeyboardEvent): void {
    if (leaves(event)) this.host.leave();
    else if (this.prefs.keys === "positions" || !this.typed(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Type the character of a key event, wherever the machine has it; false where the event is no character's. */
  private typed(event: KeyboardEvent): boolean {
    const altgr = event.getModifierState("AltGraph");
    if (event.key === "Dead") return true; // the character comes with the next key
    if ([...event.key].length !== 1 || (!altgr && (event.ctrlKey || event.altKey || event.metaKey))) return false;
    // What is held on this keyboard may not be what the character needs on the machine's.
    const held = [...(event.shiftKey ? [SHIFT] : []), ...(altgr ? [ALTGR] : [])];
    for (const { keysym, code } of held) this.rfb?.sendKey(keysym, code, false);
    for (const press of presses(event.key, this.prefs.layout).presses) this.press(press);
    for (const { keysym, code } of held) this.rfb?.sendKey(keysym, code, true);
    return true;
  }

  private copyClipboard(): void {
    if (this.clipboard === "") this.host.remark(strings.noClipboard);
    else this.host.copy(this.clipboard);
  }

  private screenshot(): void {
    this.rfb?.toBlob((picture) => picture && save(picture, `${document.title}.png`), "image/png");
  }
}
