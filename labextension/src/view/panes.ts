// The right side: machines as tabs, the panes of the chosen one, tools, and the machine's state.
import type { PaneAction, Actions } from "./act.ts";
import type { Credential, Lab, Machine, Pane, Status } from "./contract.ts";
import { freshId, h, setText } from "./dom.ts";
import { PaneFrame } from "./frame.ts";
import { segments } from "./segments.ts";
import { signIn } from "./signin.ts";
import { strings } from "./strings.ts";
import { tabs } from "./tabs.ts";
import { fullScreen, openWindow, toolButton, type ToolsHost } from "./tools.ts";

const CTRL_C = "\u0003";

/** As actions: a target without a pane means, for typing, the machine's terminal, else its console. */
export class Panes implements Actions {
  readonly element: HTMLElement;
  private readonly stage = h("div", { class: "stage" });
  private readonly message = h("p", { class: "notice", attributes: { role: "status" } });
  private readonly panel = h("div", { class: "panel", attributes: { role: "tabpanel", id: freshId("panel") } });
  private readonly tabs = tabs(this.panel, (machine) => this.choose(machine));
  private readonly segments = segments((pane) => this.choose(this.selected, pane));
  private readonly details;
  private readonly machineLine = h("span");
  private readonly faultLine = h("span");
  private readonly paneLine = h("span", { class: "push" });
  private readonly foot = h("footer", {}, this.machineLine, this.faultLine, this.paneLine);

  private readonly frames = new Map<string, PaneFrame>();
  private readonly lastPane = new Map<string, string>(); // machine -> the pane last looked at
  private machines: Machine[] = [];
  private selected = "";
  /** Why no pane can be shown at all, once that is so. */
  private over: string | undefined;

  constructor(credentials: Credential[], private readonly host: ToolsHost) {
    this.details = signIn(credentials, host.say);
    const tools = h("div", { class: "push row" }, this.details.button,
      toolButton(strings.reload, () => this.frames.get(`${this.selected}:${this.pane?.name}`)?.reload()),
      toolButton(strings.newWindow, () => void openWindow(this.selected, this.pane?.name ?? "", host)),
      toolButton(strings.fullScreen, () => void fullScreen(this.stage, host)));
    this.panel.append(h("div", { class: "tools" }, this.segments.element, tools), this.details.panel, this.stage);
    this.element = h("section", { class: "machines", attributes: { "aria-label": strings.machines } },
      this.tabs.element, this.panel, this.message, this.foot);
  }

  update(status: Status): void {
    this.machines = status.machines;
    this.over = overSentence(status.lab, status.machines);
    if (this.over !== undefined) this.close();
    this.choose(this.machine?.name ?? this.machines[0]?.name ?? "");
  }

  async act(action: PaneAction, target: string, text: string, interrupt: boolean): Promise<void> {
    const { machine, pane: named } = this.find(target);
    const ofType = (type: string): Pane | undefined => machine.panes.find((pane) => pane.type === type);
    const pane = named ?? ofType("terminal") ?? ofType("exec") ?? ofType("console");
    if (pane === undefined) throw new Error(strings.noTerminal(machine.name));
    this.choose(machine.name, pane.name);
    if (action === "open") return;
    const frame = this.frameOf(machine.name, pane);
    if (interrupt) await frame.order("labkit:type", CTRL_C);
    await frame.order(`labkit:${action}`, text);
  }

  close(): void {
    for (const frame of this.frames.values()) frame.close();
    this.frames.clear();
  }

  private get machine(): Machine | undefined {
    return this.machines.find((one) => one.name === this.selected);
  }

  private get pane(): Pane | undefined {
    const own = this.machine?.panes ?? [];
    return own.find((one) => one.name === this.lastPane.get(this.selected)) ?? own[0];
  }

  /** What a target names. Throws an Error with one sentence where there is no such thing, or no lab any more. */
  private find(target: string): { machine: Machine; pane: Pane | undefined } {
    const [name = "", paneName] = target.split(":");
    const machine = this.machines.find((one) => one.name === name);
    if (this.over !== undefined) throw new Error(this.over);
    if (machine === undefined) throw new Error(strings.noMachine(name));
    const pane = machine.panes.find((one) => one.name === paneName);
    if (paneName !== undefined && pane === undefined) throw new Error(strings.noPane(target));
    return { machine, pane };
  }

  private choose(machine: string, pane?: string): void {
    if (machine !== this.selected) this.details.select(machine);
    this.selected = machine;
    if (pane !== undefined) this.lastPane.set(machine, pane);
    this.draw();
  }

  private draw(): void {
    const { over, selected, pane } = this;
    setText(this.message, over ?? (pane ? "" : this.machine ? strings.noPanes(selected) : strings.noMachines));
    this.message.hidden = this.message.textContent === "";
    this.panel.hidden = !this.message.hidden;
    this.tabs.update(over === undefined ? this.machines : [], selected);
    this.drawFoot();
    if (over !== undefined || pane === undefined) return;
    this.segments.update(selected, this.machine?.panes ?? [], pane.name);
    const front = this.frameOf(selected, pane);
    for (const frame of this.frames.values()) frame.show(frame === front);
  }

  private readonly drawFoot = (): void => {
    const { machine, pane } = this;
    this.foot.hidden = this.over !== undefined || machine === undefined;
    if (machine === undefined) return;
    const state = strings.machineStates[machine.state] ?? strings.unknownState(machine.state);
    setText(this.machineLine, [machine.name, state, machine.address].filter(Boolean).join(" · "));
    setText(this.faultLine, machine.detail);
    const paneState = this.frames.get(`${machine.name}:${pane?.name}`)?.state;
    setText(this.paneLine, paneState ? (strings.paneStates[paneState] ?? "") : "");
  };

  /** The frame of a pane, made when it is first looked at and kept until the lab is over. */
  private frameOf(machine: string, pane: Pane): PaneFrame {
    const key = `${machine}:${pane.name}`;
    const known = this.frames.get(key);
    if (known) return known;
    const frame = new PaneFrame(machine, pane, { ...this.host, stateChanged: this.drawFoot });
    this.frames.set(key, frame);
    this.stage.append(frame.element);
    return frame;
  }
}

/** A lab that failed half-way keeps the panes of what did start. */
function overSentence(lab: Lab, machines: Machine[]): string | undefined {
  const { state } = lab;
  if (state === "stopped" || state === "stopping" || state === "lost") return strings.labOver[state];
  if (state === "failed" && machines.length === 0) return strings.labOver.failed;
  return undefined;
}
