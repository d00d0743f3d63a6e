// Runs every src/**/*.test.ts with node:test: bundled to a temporary folder first, since node does not read TypeScript.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const entryPoints = readdirSync(join(root, "src"), { recursive: true })
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => join("src", file));
const outdir = mkdtempSync(join(tmpdir(), "labkit-browser-tests-"));
try {
  const outExtension = { ".js": ".mjs" };
  await build({
    absWorkingDir: root, entryPoints, outdir, outbase: "src", outExtension,
    bundle: true, format: "esm", platform: "node", target: "node20",
    // What JupyterLab's packages are made of asks for node's own modules by `require`, which ES modules lack.
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  const files = readdirSync(outdir, { recursive: true }).filter((file) => file.endsWith(".mjs"));
  process.exitCode = spawnSync("node", ["--test", ...files.map((file) => join(outdir, file))], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(outdir, { recursive: true });
}
