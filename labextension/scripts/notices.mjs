// Writes ../THIRD-PARTY-NOTICES.md from the npm packages whose code is in the bundles: their names, versions, licences
// and licence texts, as the packages themselves carry them. `--check` only says whether the file is up to date.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundles } from "./bundles.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, "..", "THIRD-PARTY-NOTICES.md");
const TEXTS = ["LICENSE", "LICENSE.txt", "LICENSE.md", "docs/LICENSE.MPL-2.0"];
// Code of others that a package carries with it: its terms stand in a file of their own, or in a file's first comment.
const CARRIED = {
  "@novnc/novnc": [
    { name: "pako", terms: "vendor/pako/LICENSE" },
    { name: "core/crypto/des.js", comment: "core/crypto/des.js" },
  ],
};

const text = (file) => readFileSync(file, "utf8").trim().replaceAll("\r\n", "\n").replace(/[ \t]+$/gm, "");
const fenced = (body) => `\`\`\`text\n${body}\n\`\`\`\n`;

function firstComment(code) {
  const end = code.indexOf("*/");
  if (!code.startsWith("/*") || end < 0) throw new Error("the file no longer begins with its terms");
  return code.slice(2, end).replace(/^ \*? ?/gm, "").trim();
}

function section(name) {
  const folder = join(root, "node_modules", name);
  const { version, license, repository } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const source = String(repository?.url ?? repository ?? "").replace(/^git\+/, "").replace(/\.git$/, "");
  const lines = [`## ${name} ${version}`, "", `Licence: ${license}. Unmodified. Source: ${source}`, ""];
  for (const file of TEXTS) if (existsSync(join(folder, file))) lines.push(fenced(text(join(folder, file))));
  for (const { name: carried, terms, comment } of CARRIED[name] ?? []) {
    const body = terms ? text(join(folder, terms)) : firstComment(text(join(folder, comment)));
    lines.push(`### ${carried}, carried by ${name}`, "", fenced(body));
  }
  return lines.join("\n");
}

const packages = [...new Set(bundles.flatMap((bundle) => bundle.packages))].sort();
const whole = [
  "# Third-party notices",
  "",
  "labkit's browser parts (`labkit/static/`) contain code of these packages, bundled and minified, otherwise unmodified.",
  "What labkit installs beside itself (Python packages, QEMU and so on) comes under its own licences.",
  "This file is written by `npm run notices` in `labextension/`.",
  "",
  ...packages.map(section),
].join("\n").trimEnd() + "\n";

if (process.argv.includes("--check")) {
  if (!existsSync(target) || readFileSync(target, "utf8") !== whole) {
    console.error("THIRD-PARTY-NOTICES.md is out of date: run `npm run notices` in labextension/.");
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, whole);
}
