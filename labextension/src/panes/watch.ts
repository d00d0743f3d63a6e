// A machine's screen for watching: pictures, one after another. A second connection to the screen would cut the
// learner off who works there.

import { h } from "../view/dom.ts";
import type { Line } from "./gateway.ts";
import { type Action, type Listener, Refused, type View } from "./view.ts";
import { save } from "./save.ts";
import { strings } from "./strings.ts";

/** Milliseconds from one picture to the asking for the next. */
const PAUSE_MS = 1_000;

export class WatchView implements View {
  readonly settings = [] as const;
  readonly takesKeys = false;
  readonly elements = [];
  readonly sharesClipboard = false;
  readonly more: readonly Action[] = [
    { label: strings.screenshot, title: strings.screenshotTitle, run: () => save(this.shown, `${document.title}.png`) },
  ];
  private readonly picture: HTMLImageElement;
  private shown = new Blob();
  private end: () => void = () => {};

  constructor(place: HTMLElement, label: string) {
    this.picture = h("img", { class: "watched", attributes: { alt: label, tabindex: 0 } });
    place.append(this.picture);
  }

  open(line: Line, listener: Listener): void {
    let timer = 0;
    this.end = () => {
      window.clearTimeout(timer);
      this.end = () => {};
      listener.ended();
    };
    const { end } = this;
    const look = async (): Promise<void> => {
      const picture = await line.screenshot();
      if (this.end !== end) return;
      if (picture === null) return end();
      this.show(picture);
      listener.alive();
      timer = window.setTimeout(() => void look(), PAUSE_MS);
    };
    void look();
  }

  close(): void {
    this.end();
  }

  async type(): Promise<void> {
    throw new Refused("view-only");
  }

  async paste(): Promise<void> {
    throw new Refused("view-only");
  }

  preview(): string[] {
    return [];
  }

  offer(): void {}
  stop(): void {}
  release(): void {}
  apply(): void {}

  focus(): void {
    this.picture.focus();
  }

  private show(picture: Blob): void {
    const before = this.picture.src;
    this.shown = picture;
    this.picture.src = URL.createObjectURL(picture);
    if (before !== "") URL.revokeObjectURL(before);
  }
}
