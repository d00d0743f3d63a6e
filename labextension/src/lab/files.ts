// The file browser of labs' machines: JupyterLab's own, on a drive of ours.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { IFileBrowserFactory } from "@jupyterlab/filebrowser";
import type { TranslationBundle } from "@jupyterlab/translation";
import { folderIcon, refreshIcon, ToolbarButton } from "@jupyterlab/ui-components";
import { MachineFiles } from "./drive.ts";

/** Adds the drive; what is returned shows a machine's files, in a side panel that is there once it was wanted. */
export function filesBrowser(
  app: JupyterFrontEnd, browsers: IFileBrowserFactory, trans: TranslationBundle,
): (lab: string, machine: string) => Promise<void> {
  const drive = new MachineFiles(trans);
  app.serviceManager.contents.addDrive(drive);
  // Nothing asks the machine by itself, which would keep its lab from being idle: what its programs write is seen after Refresh.
  const options = { driveName: drive.name, auto: false, refreshInterval: Infinity, state: null };
  const browser = browsers.createFileBrowser("labkit-files", options); // a page that is reloaded looks for it at once
  browser.title.icon = folderIcon;
  browser.title.caption = trans.__("Files of machines");
  browser.node.setAttribute("role", "region");
  browser.node.setAttribute("aria-label", browser.title.caption);
  const again = { icon: refreshIcon, tooltip: trans.__("Refresh"), onClick: () => void browser.model.refresh() };
  browser.toolbar.addItem("refresh", new ToolbarButton(again));
  // JupyterLab's own listing overlooks what changes on a drive that is not its own.
  drive.fileChanged.connect(() => {
    if (browser.isAttached) void browser.model.refresh();
  });

  // JupyterLab has a download named by its address, and one of bytes in the page has no name in it.
  document.addEventListener("click", ({ target }) => {
    if (!(target instanceof HTMLAnchorElement) || target.getAttribute("download") !== "") return;
    const name = drive.nameAt(target.href);
    if (name !== undefined) target.download = name;
  }, true);

  return async (lab, machine) => {
    const home = await drive.home(lab, machine); // a machine that cannot be reached says so before a panel is opened
    if (!browser.isAttached) app.shell.add(browser, "left", { rank: 610 });
    app.shell.activateById(browser.id);
    await browser.model.cd(`/${home}`);
  };
}
