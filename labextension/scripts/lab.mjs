// Builds the JupyterLab extension: src/lab in one module by esbuild, then a federated bundle by JupyterLab's own builder,
// which leaves out what JupyterLab itself brings. `--development` keeps names readable.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const development = process.argv.includes("--development");
// Its file names change with what is in them: nothing old may stay.
for (const folder of ["lib", "../labkit/labextension"]) rmSync(join(root, folder), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { index: "src/lab/index.ts" },
  outdir: "lib",
  bundle: true,
  format: "esm",
  target: "es2022",
  external: ["@jupyterlab/*", "@lumino/*"],
  legalComments: "none",
  logLevel: "warning",
});
const builder = join(root, "node_modules/@jupyter/builder/lib/build-labextension.js");
const core = join(root, "node_modules/@jupyterlab/core-meta/core.package.json");
const options = ["--core-package-file", core, ...(development ? ["--development"] : []), root];
const done = spawnSync("node", [builder, ...options], { cwd: root, encoding: "utf8" });
if (done.status !== 0) process.stderr.write(`${done.stdout}${done.stderr}`);
else copyFileSync(join(root, "install/install.json"), join(root, "../labkit/labextension/install.json"));
process.exitCode = done.status ?? 1;
