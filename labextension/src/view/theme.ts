// Light or dark: JupyterLab's theme where the page names one, else what the browser prefers; kept up to date.

export function followTheme(target: HTMLElement): () => void {
  const preference = matchMedia("(prefers-color-scheme: dark)");
  const apply = (): void => {
    const lab = document.body.dataset["jpThemeLight"];
    const dark = lab === undefined ? preference.matches : lab === "false";
    target.dataset["theme"] = dark ? "dark" : "light";
  };
  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  preference.addEventListener("change", apply);
  apply();
  return () => {
    observer.disconnect();
    preference.removeEventListener("change", apply);
  };
}
