import { PageConfig } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import type { MachineFiles } from "./drive.ts";

/** The files of a folder of which the gateway tells only the first, and what is asked of it besides lists. */
const there = new Map([["listed.txt", "1"], ["kept.txt", "precious"]]);
let complete = false;
let asked: string[] = [];
/** The only ticket that is good, and how many were made. */
let good = "t1";
let made = 0;
let drive: MachineFiles;

async function bodyOf(request: IncomingMessage): Promise<string> {
  let found = "";
  for await (const piece of request) found += String(piece);
  return found;
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "", "http://gateway");
  const name = url.searchParams.get("path")?.replace(/^\/home\/?/, "") ?? "";
  const answer = (status: number, body: object | string): void => {
    response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
  };
  void bodyOf(request).then((body) => {
    if (url.pathname.endsWith("/status")) return answer(200, { machines: [{ name: "box", panes: [{ name: "terminal" }] }] });
    if (url.pathname.endsWith("/pane_link")) return answer(200, { path: "", ticket: `t${(made += 1)}`, expires: 2e9 });
    if (request.headers["labkit-ticket"] !== good) return answer(403, { reason: "expired", error: "The ticket has ended." });
    if (url.pathname.endsWith("/folder") && name === "") {
      const entries = [...there.keys()].slice(0, complete ? there.size : 1).map((one) => ({ name: one, kind: "file", size: 1, modified: 0 }));
      return answer(200, { path: "/home", entries, complete });
    }
    if (url.pathname.endsWith("/folder")) return answer(409, { reason: "not-a-folder", error: "No folder." });
    asked.push(`${request.method} ${name} ${body}`.trim());
    if (request.method === "PUT") return answer(200, { size: there.set(name, body).size });
    return there.has(name) ? answer(200, there.get(name) ?? "") : answer(404, { reason: "missing", error: `There is no ${name}.` });
  });
});

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  PageConfig.setOption("baseUrl", `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const trans = { __: (text: string, ...values: string[]) => text.replace(/%(\d)/g, (_, at) => values[Number(at) - 1] ?? "") };
  drive = new (await import("./drive.ts")).MachineFiles(trans as unknown as TranslationBundle);
});
after(() => void server.close());
beforeEach(() => {
  [complete, asked] = [true, []];
});

const path = (name: string): string => `alab/box/home/${name}`;
const piece = (text: string, chunk: number): object => ({ type: "file", format: "base64", content: btoa(text), chunk });

test("a name is chosen only where all names are known, so that nothing is written over", async () => {
  complete = false;
  await assert.rejects(drive.newUntitled({ path: path(""), ext: "txt" }), /too much/);
  await assert.rejects(drive.copy(path("listed.txt"), path("")), /too much/);
  assert.deepEqual(asked, ["GET listed.txt"]);
});

test("a file that is not in the list is asked for itself, where the list is not whole", async () => {
  complete = false;
  assert.equal((await drive.get(path("kept.txt"))).content, "precious");
  await assert.rejects(drive.get(path("none.txt")), /There is no none.txt/);
  complete = true;
  await assert.rejects(drive.get(path("none.txt")), /There is no \/home\/none.txt in box/);
});

test("a file comes in pieces and is written once, whole", async () => {
  for (const [text, chunk] of [["a", 1], ["b", 2], ["c", -1]] as const) await drive.save(path("new.txt"), piece(text, chunk));
  assert.deepEqual(asked, ["PUT new.txt abc"]);
});

test("of an upload that was broken off nothing is kept: it begins anew, or is refused", async () => {
  await drive.save(path("half.txt"), piece("old", 1));
  await drive.save(path("half.txt"), piece("a", 1));
  await drive.save(path("half.txt"), piece("b", -1));
  await drive.save(path("half.txt"), piece("old", 1));
  await assert.rejects(drive.save(path("half.txt"), { ...piece("", 2), content: "no base64!" }));
  await assert.rejects(drive.save(path("half.txt"), piece("c", -1)), /begin it anew/);
  assert.deepEqual(asked, ["PUT half.txt ab"]);
});

test("a ticket that is refused is asked for anew, once", async () => {
  await drive.get(path("kept.txt"));
  good = `t${made + 1}`;
  assert.equal((await drive.get(path("kept.txt"))).content, "precious");
  good = "none";
  await assert.rejects(drive.get(path("kept.txt")), /The ticket has ended/);
});
