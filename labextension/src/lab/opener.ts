// What a click opens: the tabs of a lab, of one that runs or of one that is started for it.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, Notification, showDialog, WidgetTracker } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { PaneAction } from "../view/act.ts";
import type { LabState } from "../view/contract.ts";
import type { Actions } from "../view/index.ts";
import { start, stop, transport } from "./api.ts";
import type { Labs } from "./labs.ts";
import { type Shown, Tab, tabId } from "./tabs.ts";

const SHELLS = ["terminal", "exec", "console"];
/** In which a lab gets no machines any more. */
const OVER = new Set<LabState>(["stopping", "stopped", "failed", "lost"]);
/** How often and how long it is asked whether a lab that starts has machines: milliseconds, times. */
const [WAIT, TIMES] = [500, 240];

export class Opener {
  readonly tracker = new WidgetTracker<Tab>({ namespace: "labkit" });
  /** Whether a start opens the first machine's first pane, too. */
  firstPane = true;

  constructor(
    private readonly shell: JupyterFrontEnd["shell"], private readonly labs: Labs, private readonly trans: TranslationBundle,
  ) {}

  /** Runs what a click asks for; what goes wrong is said in JupyterLab's own way. */
  attempt(work: Promise<unknown>): void {
    work.catch((error: Error) => Notification.error(error.message)).finally(() => void this.labs.look());
  }

  stop(lab: string): void {
    this.attempt(this.end(lab));
  }

  open(shown: Shown, beside?: string): Tab {
    const known = this.tracker.find((tab) => tab.id === tabId(shown) && !tab.isDisposed);
    const actions = (lab: string): Actions => ({ act: (...wanted) => this.act(lab, ...wanted) });
    const tab = known ?? new Tab(shown, { trans: this.trans, actions, stop: (lab) => this.stop(lab) });
    if (!tab.isAttached) this.shell.add(tab, "main", beside === undefined ? {} : { mode: "split-right", ref: beside });
    if (known === undefined) void this.tracker.add(tab);
    this.shell.activateById(tab.id);
    return tab;
  }

  /** Starts a lab, or finds the one that runs, and opens it as soon as there is something to show. */
  async begin(template: string): Promise<void> {
    const lab = await start(template);
    const request = transport(lab).request;
    for (let times = 0; times < TIMES; times += 1) {
      const found = await request("status", {}).catch(() => undefined);
      if (times === 0) this.open({ lab, ...(found ? { title: found.lab.title } : {}) });
      void this.labs.look();
      if (found && OVER.has(found.lab.state)) return; // the instructions' tab says so
      const machine = found?.machines.find((one) => one.panes.length > 0);
      const pane = machine?.panes[0];
      if (machine && pane) {
        const shown = { lab, pane: `${machine.name}:${pane.name}`, title: `${machine.name}: ${pane.title}` };
        if (this.firstPane) this.open(shown, tabId({ lab }));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, WAIT));
    }
    Notification.info(this.trans.__("The lab has no machines yet. Its panes open from the side panel once it has."));
  }

  /** Ends a lab, once that is wanted for sure: nothing brings its machines back. */
  private async end(lab: string): Promise<void> {
    const { trans } = this;
    const title = this.labs.found.find(({ id }) => id === lab)?.title ?? lab;
    const { button } = await showDialog({
      title: trans.__("Stop %1?", title),
      body: trans.__("Its machines and what is in them are lost. Ticks and results are kept."),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__("Stop lab") })],
      defaultButton: 0,
    });
    if (button.accept) await stop(lab);
  }

  /** Actions in the instructions go to the tab of the pane that they name, which is opened where it is not. */
  private async act(lab: string, action: PaneAction, target: string, text: string, interrupt: boolean): Promise<void> {
    const { machines } = await transport(lab).request("status", {});
    const [name = "", paneName] = target.split(":");
    const panes = machines.find((machine) => machine.name === name)?.panes ?? [];
    const shells = SHELLS.flatMap((type) => panes.filter((one) => one.type === type));
    const pane = panes.find((one) => one.name === paneName) ?? (paneName === undefined ? (shells[0] ?? panes[0]) : undefined);
    if (pane === undefined) throw new Error(this.trans.__("There is no pane %1 in this lab.", target));
    const full = `${name}:${pane.name}`;
    const tab = this.open({ lab, pane: full, title: `${name}: ${pane.title}` }, tabId({ lab }));
    await tab.content.act(action, full, text, interrupt);
  }
}
