// A machine's screen for watching: pictures, one after another. A second connection to the screen would cut the
// learner off who works there.

import { h } from "../view/dom.ts";
import type { Line } from "./gateway.ts";
import { save } from "./save.ts";
import { strings } from "./strings.ts";
import { type Action, type Listener, OnlyShown } from "./view.ts";

/** Milliseconds from one picture to the asking for the next. */
const PAUSE_MS = 1_000;

export class WatchView extends OnlyShown {
  override readonly more: readonly Action[] = [
    { label: strings.screenshot, title: strings.screenshotTitle, run: () => save(this.shown, `${document.title}.png`) },
  ];
  private readonly picture: HTMLImageElement;
  private shown = new Blob();

  constructor(place: HTMLElement, label: string) {
    super("view-only");
    this.picture = h("img", { class: "watched", attributes: { alt: label, tabindex: 0 } });
    place.append(this.picture);
  }

  open(line: Line, listener: Listener): void {
    let timer = 0;
    const stillOpen = this.begin(listener, () => window.clearTimeout(timer));
    const look = async (): Promise<void> => {
      const picture = await line.screenshot();
      if (!stillOpen()) return;
      if (picture === null) return this.end();
      this.show(picture);
      listener.alive();
      timer = window.setTimeout(() => void look(), PAUSE_MS);
    };
    void look();
  }

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
