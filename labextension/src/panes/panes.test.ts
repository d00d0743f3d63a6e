import assert from "node:assert/strict";
import { test } from "node:test";
import { delay, takenOver } from "./backoff.ts";
import { fromParent, namesIn, ticketIn } from "./contract.ts";
import { presses } from "./keys.ts";
import { Replay } from "./replay.ts";
import * as ttyd from "./ttyd.ts";

test("waits grow from half a second to a quarter of a minute, and differ from page to page", () => {
  assert.equal(delay(0, 1), 500);
  assert.equal(delay(3, 1), 4000);
  assert.equal(delay(100, 1), 15_000);
  assert.ok(delay(3, 0) < delay(3, 1));
});

test("a stream is taken over where the gateway knows of another, or where ours is cut soon again and again", () => {
  assert.equal(takenOver(1, [60_000]), true);
  assert.equal(takenOver(0, [60_000]), false);
  assert.equal(takenOver(0, [100, 100]), false);
  assert.equal(takenOver(0, [60_000, 100, 100, 100]), true);
  assert.equal(takenOver(0, [100, 100, 60_000]), false);
});

test("text is typed on a US keyboard, with Shift where it needs it", () => {
  assert.deepEqual(presses("aA"), [
    { keysym: 0x61, code: "KeyA", shift: false },
    { keysym: 0x41, code: "KeyA", shift: true },
  ]);
  const codes = Object.fromEntries(presses("1!-_;:'\"\\|/? `~").map(({ keysym, code }) => [String.fromCharCode(keysym), code]));
  assert.deepEqual(
    [codes["!"], codes["_"], codes[":"], codes['"'], codes["|"], codes["?"], codes[" "], codes["~"]],
    ["Digit1", "Minus", "Semicolon", "Quote", "Backslash", "Slash", "Space", "Backquote"],
  );
});

test("every printable ASCII character has a key", () => {
  const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join("");
  assert.deepEqual(presses(ascii).filter((press) => press.code === null), []);
  assert.equal(presses(ascii).length, 95);
});

test("a line end of any kind is one Enter, and what no keyboard has is named by its code point", () => {
  assert.deepEqual(presses("\r\n\n\r\u0000").map((press) => press.code), ["Enter", "Enter", "Enter"]);
  assert.deepEqual(presses("é€"), [
    { keysym: 0xe9, code: null, shift: false },
    { keysym: 0x010020ac, code: null, shift: false },
  ]);
});

test("ttyd is spoken to with one command byte before each message's bytes", () => {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  assert.equal(text(ttyd.hello({ columns: 80, rows: 24 })), '{"AuthToken":"","columns":80,"rows":24}');
  assert.equal(text(ttyd.input("ls\r")), "0ls\r");
  assert.equal(text(ttyd.resize({ columns: 99, rows: 33 })), '1{"columns":99,"rows":33}');
  const message = (data: string): ArrayBuffer => new TextEncoder().encode(data).slice().buffer as ArrayBuffer;
  const output = ttyd.read(message("0hello"));
  assert.equal(output.kind === "output" && text(output.data), "hello");
  assert.deepEqual(ttyd.read(message("1a title")), { kind: "title", title: "a title" });
  assert.deepEqual(ttyd.read(message("2{}")), { kind: "other" });
  assert.deepEqual(ttyd.read(new ArrayBuffer(0)), { kind: "other" });
});

test("only the two messages of the contract are heard", () => {
  assert.deepEqual(fromParent({ type: "labkit:type", text: "ls", more: 1 }), { type: "labkit:type", text: "ls" });
  assert.deepEqual(fromParent({ type: "labkit:ticket", ticket: "t" }), { type: "labkit:ticket", ticket: "t" });
  for (const other of [null, "labkit:type", {}, { type: "labkit:type" }, { type: "labkit:ticket", ticket: 3 }]) {
    assert.equal(fromParent(other), null);
  }
});

test("the ticket is in the fragment and the names are in the path, below any prefix", () => {
  assert.equal(ticketIn("#ticket=a.b-c_d"), "a.b-c_d");
  assert.equal(ticketIn(""), null);
  assert.deepEqual(namesIn("/user/alice/labkit/panes/alab/web/console/"), { machine: "web", pane: "console" });
});

test("a console that is opened again shows only what it has not shown", () => {
  const replay = new Replay();
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const shown = (text: string): string => new TextDecoder().decode(replay.unseen(bytes(text)));
  replay.begin();
  assert.equal(shown("boot\r\nlogin: "), "boot\r\nlogin: ");
  assert.equal(shown("login: "), "login: ");
  assert.equal(shown("~ # \x1b[6n"), "~ # \x1b[6n");
  replay.begin();
  assert.equal(shown("boot\r\nlogin: login: ~ # date\r\n"), "date\r\n");
  assert.equal(shown("date\r\n"), "date\r\n", "what is printed twice is shown twice");
  replay.begin();
  assert.equal(shown("quite another output"), "quite another output", "nothing is replayed by a cluster");
});
