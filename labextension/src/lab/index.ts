// labkit in JupyterLab: cards and commands that start labs, a side panel, tabs that dock, a status item.
import { ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import { ILauncher } from "@jupyterlab/launcher";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator, type TranslationBundle } from "@jupyterlab/translation";
import type { ReadonlyPartialJSONObject } from "@lumino/coreutils";
import { speak } from "../view/strings.ts";
import { templates } from "./api.ts";
import { filesBrowser } from "./files.ts";
import { labIcon } from "./icon.ts";
import { Labs } from "./labs.ts";
import { Opener } from "./opener.ts";
import { Panel } from "./panel.ts";
import { StatusItem } from "./status.ts";
import type { Shown } from "./tabs.ts";

const ID = "labkit:plugin";
const [START, OPEN] = ["labkit:start", "labkit:open"];

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
  const opener = new Opener(shell, labs, trans);
  addCommands(app, opener, trans);

  const files = browsers ? filesBrowser(app, browsers, trans) : undefined;
  const panel = new Panel(labs, {
    trans, open: (shown) => void opener.open(shown), start: (template) => opener.attempt(opener.begin(template)),
    stop: (lab) => opener.stop(lab),
    ...(files ? { files: (lab: string, machine: string) => opener.attempt(files(lab, machine)) } : {}),
  });
  shell.add(panel, "left", { rank: 600 });
  restorer?.add(panel, panel.id);
  void restorer?.restore(opener.tracker, {
    command: OPEN,
    args: ({ shown }) => ({ ...shown }) as ReadonlyPartialJSONObject,
    name: ({ id }) => id,
  });
  const item = new StatusItem(labs, trans, () => shell.activateById(panel.id));
  statusBar?.registerStatusItem("labkit:labs", { item, align: "left", rank: 90 });
  offerTemplates(panel, launcher, palette, trans.__("Labs")).catch(warn);
  if (registry) followSettings(registry, opener, labs, item).catch(warn);
}

function addCommands({ commands }: JupyterFrontEnd, opener: Opener, trans: TranslationBundle): void {
  commands.addCommand(START, {
    label: ({ title, template }) => String(title ?? template ?? trans.__("Start a lab")),
    caption: ({ template }) => trans.__("Start the lab %1, or find the one that runs", String(template ?? "")),
    icon: labIcon,
    execute: ({ template }) => opener.attempt(opener.begin(String(template))),
  });
  commands.addCommand(OPEN, {
    label: trans.__("Open a part of a lab"),
    execute: (args) => opener.open(args as unknown as Shown),
  });
}

/** What can be started, in the side panel, the launcher and the palette. */
async function offerTemplates(
  panel: Panel, launcher: ILauncher | null, palette: ICommandPalette | null, category: string,
): Promise<void> {
  panel.templates = await templates();
  panel.draw();
  for (const { name, title, problem } of panel.templates) {
    if (problem) continue;
    const args = { template: name, title };
    launcher?.add({ command: START, args, category });
    palette?.addItem({ command: START, args, category });
  }
}

async function followSettings(registry: ISettingRegistry, opener: Opener, labs: Labs, item: StatusItem): Promise<void> {
  const settings = await registry.load(ID);
  const apply = (): void => {
    const { openFirstPane, refreshSeconds, statusBar } = settings.composite;
    opener.firstPane = openFirstPane !== false;
    labs.seconds = Number(refreshSeconds) || 5;
    item.node.style.display = statusBar === false ? "none" : "";
  };
  settings.changed.connect(apply);
  apply();
}

function warn(error: Error): void {
  console.warn(`labkit: ${error.message}`);
}

export default plugin;
