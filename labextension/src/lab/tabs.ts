// Instructions and panes as tabs that dock: each a lab view of one part, with a toolbar of its own.
import { MainAreaWidget } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { refreshIcon, stopIcon, ToolbarButton } from "@jupyterlab/ui-components";
import { Widget } from "@lumino/widgets";
import type { PaneAction } from "../view/act.ts";
import { type Actions, mount } from "../view/index.ts";
import { transport } from "./api.ts";
import { labIcon } from "./icon.ts";

/** What a tab shows, as JupyterLab's layout keeps it: the pane `machine:pane` of a lab, or its instructions. */
export interface Shown {
  lab: string;
  pane?: string;
  title?: string;
}

export interface TabHost {
  trans: TranslationBundle;
  actions(lab: string): Actions;
  stop(lab: string): void;
}

export function tabId({ lab, pane = "" }: Shown): string {
  return `labkit-${lab}-${pane.replace(":", "-")}`;
}

/** One part of a lab, drawn anew whenever `draw` is called. */
class Part extends Widget implements Actions {
  private unmount: (() => void) | undefined;
  private found: (panes: Actions) => void = () => {};
  private readonly panes = new Promise<Actions>((resolve) => (this.found = resolve));

  constructor(private readonly shown: Shown, private readonly host: TabHost) {
    super();
    this.node.setAttribute("data-labkit-fill", "");
    this.node.style.overflow = "hidden";
    this.draw();
  }

  draw(): void {
    this.unmount?.();
    const { lab, pane } = this.shown;
    this.unmount = mount(this.node, transport(lab), {
      show: pane === undefined ? { part: "instructions" } : { pane },
      ...(pane === undefined ? { actions: this.host.actions(lab) } : {}),
      ready: (panes) => this.found(panes),
    });
  }

  async act(action: PaneAction, target: string, text: string, interrupt: boolean): Promise<void> {
    return (await this.panes).act(action, target, text, interrupt);
  }

  override dispose(): void {
    this.unmount?.();
    super.dispose();
  }
}

export class Tab extends MainAreaWidget<Part> {
  constructor(readonly shown: Shown, host: TabHost) {
    super({ content: new Part(shown, host) });
    const { trans } = host;
    this.id = tabId(shown);
    this.title.label = shown.title ?? shown.pane ?? trans.__("Instructions");
    this.title.caption = `${this.title.label} (${shown.lab})`;
    this.title.icon = labIcon;
    this.title.closable = true;
    const again = { icon: refreshIcon, label: trans.__("Reload"), onClick: () => this.content.draw() };
    const end = { icon: stopIcon, label: trans.__("Stop lab"), onClick: () => host.stop(shown.lab) };
    this.toolbar.addItem("reload", new ToolbarButton(again));
    this.toolbar.addItem("stop", new ToolbarButton(end));
    this.toolbar.node.setAttribute("aria-label", trans.__("Lab"));
  }
}
