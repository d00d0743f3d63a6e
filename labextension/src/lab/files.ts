// The file browser of labs' machines: JupyterLab's own, on a drive of ours.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import type { TranslationBundle } from "@jupyterlab/translation";
import { folderIcon, refreshIcon, ToolbarButton } from "@jupyterlab/ui-components";
import { MachineFiles } from "./drive.ts";

/** Adds the drive; what is returned shows a machine's files, in a side panel that is made when it is first wanted. */
export function filesBrowser(
  app: JupyterFrontEnd, browsers: IFileBrowserFactory, trans: TranslationBundle,
): (lab: string, machine: string) => Promise<void> {
  const drive = new MachineFiles();
  app.serviceManager.contents.addDrive(drive);
  let made: ReturnType<typeof make> | undefined;

  function make() {
    const options = { driveName: drive.name, auto: false, restore: false, state: null };
    const browser = browsers.createFileBrowser("labkit-files", options);
    browser.title.icon = folderIcon;
    browser.title.caption = trans.__("Files of machines");
    browser.node.setAttribute("role", "region");
    browser.node.setAttribute("aria-label", browser.title.caption);
    // Nothing asks the machine by itself: what its programs write is seen after this.
    const again = { icon: refreshIcon, tooltip: trans.__("Refresh"), onClick: () => void browser.model.refresh() };
    browser.toolbar.addItem("refresh", new ToolbarButton(again));
    app.shell.add(browser, "left", { rank: 610 });
    return browser;
  }

  return async (lab, machine) => {
    const home = await drive.home(lab, machine); // a machine that cannot be reached says so before a panel is opened
    made ??= make();
    app.shell.activateById(made.id);
    await made.model.cd(`/${home}`);
  };
}
