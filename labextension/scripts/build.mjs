// Bundles each row of bundles.mjs that exists to labkit/static/<name>.js (and .css, where its code imports styles).
// `node scripts/build.mjs [name ...]` builds only the named rows.
import { build } from "esbuild";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundles } from "./bundles.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const only = process.argv.slice(2);

for (const { name, entry, packages } of bundles) {
  if ((only.length > 0 && !only.includes(name)) || !existsSync(join(root, entry))) continue;
  const notice = packages.length > 0 ? `/* Contains ${packages.join(", ")}: see THIRD-PARTY-NOTICES.md */` : "";
  await build({
    absWorkingDir: root,
    entryPoints: { [name]: entry },
    outdir: join("..", "labkit", "static"),
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none", // the texts are in THIRD-PARTY-NOTICES.md, which the wheel carries
    banner: { js: notice, css: notice },
    logLevel: "info",
  });
}
