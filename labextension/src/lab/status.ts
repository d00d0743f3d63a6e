// The status bar's item: how many labs run, and how long the one has that ends first.
import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";
import { strings } from "../view/strings.ts";
import type { Labs } from "./labs.ts";
import { minutesLeft } from "./panel.ts";

export class StatusItem extends Widget {
  constructor(labs: Labs, trans: TranslationBundle, open: () => void) {
    super({ node: document.createElement("button") });
    this.addClass("jp-StatusBar-TextItem");
    this.node.style.cssText = "background: none; border: 0; color: inherit; cursor: pointer";
    this.node.addEventListener("click", open);
    labs.changed.connect(() => {
      const left = labs.found.map(minutesLeft).filter((one) => one !== undefined);
      const count = trans._n("%1 lab", "%1 labs", labs.found.length);
      this.node.textContent = [count, ...(left.length > 0 ? [strings.timeLeft(Math.min(...left))] : [])].join(" · ");
      this.setHidden(labs.found.length === 0);
    });
  }
}
