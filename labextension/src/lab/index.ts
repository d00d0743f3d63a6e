// labkit in JupyterLab: cards and commands that start labs, a side panel, tabs that dock, a status item.
import { ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, Notification, WidgetTracker } from "@jupyterlab/apputils";
import { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import { ILauncher } from "@jupyterlab/launcher";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import type { ReadonlyPartialJSONObject } from "@lumino/coreutils";
import type { Actions } from "../view/index.ts";
import { speak } from "../view/strings.ts";
import { start, stop, templates, transport } from "./api.ts";
import { filesBrowser } from "./files.ts";
import { labIcon } from "./icon.ts";
import { Labs } from "./labs.ts";
import { Panel } from "./panel.ts";
import { StatusItem } from "./status.ts";
import { type Shown, Tab, tabId } from "./tabs.ts";

const ID = "labkit:plugin";
const [START, OPEN] = ["labkit:start", "labkit:open"];
const SHELLS = ["terminal", "exec", "console"];
/** How often and how long it is asked whether a lab that starts has machines: milliseconds, times. */
const [WAIT, TIMES] = [500, 240];

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Starts labs, and shows their instructions and machines.",
  autoStart: true,
  optional: [ILauncher, ICommandPalette, ILayoutRestorer, IStatusBar, ISettingRegistry, ITranslator, ILabShell, IFileBrowserFactory],
  activate,
};

function activate(
  app: JupyterFrontEnd, launcher: ILauncher | null, palette: ICommandPalette | null, restorer: ILayoutRestorer | null,
  statusBar: IStatusBar | null, registry: ISettingRegistry | null, translator: ITranslator | null, shell: ILabShell | null,
  browsers: IFileBrowserFactory | null,
): void {
  if (shell === null) return; // Notebook 7 and Voila have no tabs to dock: there, labs are in cells
  const given = translator ?? nullTranslator;
  const trans = given.load("labkit");
  speak(given.languageCode.slice(0, 2));
  const labs = new Labs();
  const tracker = new WidgetTracker<Tab>({ namespace: "labkit" });
  const wanted = { openFirstPane: true };

  /** Runs what a click asks for; what goes wrong is said in JupyterLab's own way. */
  function attempt(work: Promise<unknown>): void {
    work.catch((error: Error) => Notification.error(error.message)).finally(() => void labs.look());
  }

  function open(shown: Shown, beside?: string): Tab {
    const known = tracker.find((tab) => tab.id === tabId(shown) && !tab.isDisposed);
    const tab = known ?? new Tab(shown, { trans, actions, stop: (lab) => attempt(stop(lab)) });
    if (!tab.isAttached) app.shell.add(tab, "main", beside === undefined ? {} : { mode: "split-right", ref: beside });
    if (known === undefined) void tracker.add(tab);
    app.shell.activateById(tab.id);
    return tab;
  }

  /** Actions in the instructions go to the tab of the pane that they name, which is opened where it is not. */
  function actions(lab: string): Actions {
    return {
      async act(action, target, text, interrupt) {
        const { machines } = await transport(lab).request("status", {});
        const [name = "", paneName] = target.split(":");
        const panes = machines.find((machine) => machine.name === name)?.panes ?? [];
        const shells = SHELLS.flatMap((type) => panes.filter((one) => one.type === type));
        const pane = panes.find((one) => one.name === paneName) ?? (paneName === undefined ? (shells[0] ?? panes[0]) : undefined);
        if (pane === undefined) throw new Error(trans.__("There is no pane %1 in this lab.", target));
        const full = `${name}:${pane.name}`;
        const tab = open({ lab, pane: full, title: `${name}: ${pane.title}` }, tabId({ lab }));
        await tab.content.act(action, full, text, interrupt);
      },
    };
  }

  async function begin(template: string): Promise<void> {
    const lab = await start(template);
    const request = transport(lab).request;
    for (let times = 0; times < TIMES; times += 1) {
      const found = await request("status", {}).catch(() => undefined);
      if (times === 0) open({ lab, ...(found ? { title: found.lab.title } : {}) });
      void labs.look();
      const machine = found?.machines.find((one) => one.panes.length > 0);
      const pane = machine?.panes[0];
      if (machine && pane) {
        const shown = { lab, pane: `${machine.name}:${pane.name}`, title: `${machine.name}: ${pane.title}` };
        if (wanted.openFirstPane) open(shown, tabId({ lab }));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, WAIT));
    }
  }

  app.commands.addCommand(START, {
    label: ({ title, template }) => String(title ?? template ?? trans.__("Start a lab")),
    caption: ({ template }) => trans.__("Start the lab %1, or find the one that runs", String(template ?? "")),
    icon: labIcon,
    execute: ({ template }) => attempt(begin(String(template))),
  });
  app.commands.addCommand(OPEN, {
    label: trans.__("Open a part of a lab"),
    execute: (args) => open(args as unknown as Shown),
  });

  const files = browsers ? filesBrowser(app, browsers, trans) : undefined;
  const panel = new Panel(labs, {
    trans, open, start: (template) => attempt(begin(template)), stop: (lab) => attempt(stop(lab)),
    ...(files ? { files: (lab: string, machine: string) => attempt(files(lab, machine)) } : {}),
  });
  app.shell.add(panel, "left", { rank: 600 });
  restorer?.add(panel, panel.id);
  void restorer?.restore(tracker, {
    command: OPEN,
    args: ({ shown }) => ({ ...shown }) as ReadonlyPartialJSONObject,
    name: ({ id }) => id,
  });
  const category = trans.__("Labs");
  templates().then((found) => {
    panel.templates = found;
    panel.draw();
    for (const { name, title, problem } of found) {
      if (problem) continue;
      const args = { template: name, title };
      launcher?.add({ command: START, args, category });
      palette?.addItem({ command: START, args, category });
    }
  }, (error: Error) => console.warn(`labkit: ${error.message}`));

  const item = new StatusItem(labs, trans, () => shell.activateById(panel.id));
  statusBar?.registerStatusItem("labkit:labs", { item, align: "left", rank: 90 });
  void registry?.load(ID).then((settings) => {
    const apply = (): void => {
      const { openFirstPane, refreshSeconds, statusBar: shown } = settings.composite;
      wanted.openFirstPane = openFirstPane !== false;
      labs.seconds = Number(refreshSeconds) || 5;
      item.node.style.display = shown === false ? "none" : "";
    };
    settings.changed.connect(apply);
    apply();
  }).catch((error: Error) => console.warn(`labkit: ${error.message}`));
}

export default plugin;
