// What is bundled: a row for each file that the wheel ships in labkit/static/.
// `packages` are the npm packages whose code ends up in it; the notices are made from them.
export const bundles = [
  { name: "panes", entry: "src/panes/main.ts", packages: ["@novnc/novnc", "@xterm/xterm", "@xterm/addon-fit", "@xterm/addon-search"] },
  { name: "labview", entry: "src/view/index.ts", packages: [] },
  { name: "labview-widget", entry: "src/view/widget.ts", packages: [] },
  { name: "preview", entry: "src/view/preview.ts", packages: [] },
  { name: "site", entry: "src/view/site.css", packages: [] },
  { name: "work", entry: "src/web/work.ts", packages: [] },
  { name: "watch", entry: "src/web/watch.ts", packages: [] },
  { name: "web", entry: "src/web/web.css", packages: [] },
  { name: "class", entry: "src/class/index.ts", packages: [] },
  { name: "progress-widget", entry: "src/view/progress-widget.ts", packages: [] },
];
