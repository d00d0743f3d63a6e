// The side panel: what can be started, and the running labs with their machines, panes and time left.
import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";
import type { Machine } from "../view/contract.ts";
import { h } from "../view/dom.ts";
import { strings } from "../view/strings.ts";
import type { RunningLab, Template } from "./api.ts";
import { labIcon } from "./icon.ts";
import type { Labs } from "./labs.ts";
import type { Shown } from "./tabs.ts";

export interface PanelHost {
  trans: TranslationBundle;
  open(shown: Shown): void;
  start(template: string): void;
  stop(lab: string): void;
  /** Shows a machine's files, where this JupyterLab has a file browser. */
  files?: (lab: string, machine: string) => void;
}

const STYLE = `
.labkit-panel { overflow: auto; padding: 8px 12px; color: var(--jp-ui-font-color1); font-size: var(--jp-ui-font-size1); }
.labkit-panel h2 { font-size: var(--jp-ui-font-size1); margin: 12px 0 4px; text-transform: uppercase; }
.labkit-panel h3 { font-size: var(--jp-ui-font-size1); margin: 8px 0 2px; }
.labkit-panel p, .labkit-panel ul { margin: 2px 0; padding: 0; list-style: none; }
.labkit-panel button { font: inherit; color: var(--jp-content-link-color); background: none; border: 0; padding: 2px 6px 2px 0; cursor: pointer; }
.labkit-panel button:hover, .labkit-panel button:focus-visible { text-decoration: underline; }
.labkit-panel .soft { color: var(--jp-ui-font-color2); }`;

export class Panel extends Widget {
  templates: Template[] = [];
  private drawn = "";

  constructor(private readonly labs: Labs, private readonly host: PanelHost) {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    this.id = "labkit-panel";
    this.addClass("labkit-panel");
    this.title.icon = labIcon;
    this.title.caption = host.trans.__("Labs");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", this.title.caption);
    labs.changed.connect(() => this.draw());
    this.draw();
  }

  draw(): void {
    const { labs, host, templates } = this;
    const now = JSON.stringify([labs.found.map((lab) => [lab, minutesLeft(lab)]), labs.fault, templates]);
    if (now === this.drawn) return; // so that the keyboard stays where it is
    this.drawn = now;
    const { trans } = host;
    const none = labs.fault || trans.__("No lab is running.");
    const running = labs.found.length > 0 ? labs.found.map((lab) => this.lab(lab)) : [h("p", { class: "soft" }, none)];
    const starts = templates.map(({ name, title, problem }) =>
      h("li", {}, problem ? h("span", { class: "soft" }, `${name}: ${problem}`) : button(title || name, () => host.start(name))));
    this.node.replaceChildren(
      h("h2", {}, trans.__("Running labs")), ...running, h("h2", {}, trans.__("Start a lab")), h("ul", {}, ...starts));
  }

  private lab(lab: RunningLab): HTMLElement {
    const { host } = this;
    const left = minutesLeft(lab);
    const state = strings.labStates[lab.state] ?? lab.state;
    const line = [state, lab.detail, left === undefined ? "" : strings.timeLeft(left)].filter(Boolean).join(" · ");
    return h("section", { attributes: { "aria-label": lab.title } }, h("h3", {}, lab.title), h("p", { class: "soft" }, line),
      button(host.trans.__("Instructions"), () => host.open({ lab: lab.id, title: lab.title })),
      button(host.trans.__("Stop"), () => host.stop(lab.id)),
      h("ul", {}, ...lab.machines.map((machine) => this.machine(lab, machine))));
  }

  private machine(lab: RunningLab, machine: Machine): HTMLElement {
    const state = strings.machineStates[machine.state] ?? machine.state;
    const panes = machine.panes.map((pane) => button(pane.title, () =>
      this.host.open({ lab: lab.id, pane: `${machine.name}:${pane.name}`, title: `${machine.name}: ${pane.title}` })));
    const { files, trans } = this.host;
    // A container has no SSH server, through which files go.
    const more = files && panes.length > 0 && machine.type !== "container" ? [button(trans.__("Files"), () => files(lab.id, machine.name))] : [];
    return h("li", {}, h("span", { class: "soft" }, `${machine.name} · ${state} `), ...panes, ...more);
  }
}

function button(label: string, click: () => void): HTMLElement {
  return h("button", { attributes: { type: "button" }, on: { click } }, label);
}

/** Minutes until the lab's end, if it has one. */
export function minutesLeft({ ends }: RunningLab): number | undefined {
  return ends === null ? undefined : Math.max(0, Math.round((ends - Date.now() / 1000) / 60));
}
