import assert from "node:assert/strict";
import { test } from "node:test";
import { delay, takenOver } from "./backoff.ts";
import { broughtBy, fromParent, namesIn } from "./contract.ts";
import { CHORDS, chord, presses } from "./keys.ts";
import type { LayoutName } from "./layouts.ts";
import { CHOICES, read } from "./prefs.ts";
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

const codes = (text: string, layout: LayoutName): string[] =>
  presses(text, layout).presses.map(({ code, shift, altgr }) => `${altgr ? "AltGr+" : ""}${shift ? "Shift+" : ""}${code}`);

test("text is typed where the machine's keyboard has it, with Shift and AltGr where it needs them", () => {
  assert.deepEqual(presses("aA", "us").presses, [
    { keysym: 0x61, code: "KeyA", shift: false, altgr: false },
    { keysym: 0x41, code: "KeyA", shift: true, altgr: false },
  ]);
  assert.deepEqual(codes("z-/@", "us"), ["KeyZ", "Minus", "Slash", "Shift+Digit2"]);
  assert.deepEqual(codes("z-/@", "gb"), ["KeyZ", "Minus", "Slash", "Shift+Quote"]);
  assert.deepEqual(codes("z-/@", "de"), ["KeyY", "Slash", "Shift+Digit7", "AltGr+KeyQ"]);
  assert.deepEqual(codes("z-/@", "fr"), ["KeyW", "Digit6", "Shift+Period", "AltGr+Digit0"]);
});

test("every printable ASCII character can be typed on every keyboard", () => {
  const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join("");
  for (const layout of CHOICES.layout) {
    const typing = presses(ascii, layout);
    assert.deepEqual(typing.left, [], layout);
    assert.deepEqual(typing.presses.filter((press) => !press.code), [], layout);
  }
});

test("accents are typed by a dead key and a letter, or alone by a dead key and a space", () => {
  assert.deepEqual(codes("é", "de"), ["Equal", "KeyE"]);
  assert.deepEqual(codes("ï", "fr"), ["Shift+BracketLeft", "KeyI"]);
  assert.deepEqual(codes("^", "de"), ["Backquote", "Space"]);
  assert.deepEqual(presses("ê", "de").presses[0]?.keysym, 0xfe52);
});

test("a line end of any kind is one Enter, and what the keyboard has not is told, each once", () => {
  assert.deepEqual(codes("\r\n\n\r\u0000", "us"), ["Enter", "Enter", "Enter"]);
  assert.deepEqual(presses("aé€é", "us").left, ["é", "€"]);
  assert.deepEqual(presses("a日", "de").left, ["日"]);
});

test("keys are sent by the names on the buttons", () => {
  assert.deepEqual(chord("Ctrl+Alt+Del").map((key) => key.code), ["ControlLeft", "AltLeft", "Delete"]);
  assert.deepEqual(chord("F12"), [{ keysym: 0xffc9, code: "F12" }]);
  assert.ok(CHORDS.every((name) => chord(name).length > 0));
});

test("what is remembered is believed only where there is such a choice", () => {
  assert.equal(read('{"theme":"light","fit":"huge","more":1}').theme, "light");
  assert.equal(read('{"theme":"light","fit":"huge"}').fit, "scale");
  for (const broken of [null, "", "{", "null", "7"]) assert.equal(read(broken).size, "14");
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

test("only the messages of the contract are heard, and orders only with an id to answer to", () => {
  assert.deepEqual(fromParent({ type: "labkit:run", id: "1", text: "ls", more: 1 }), { type: "labkit:run", id: "1", text: "ls" });
  assert.deepEqual(fromParent({ type: "labkit:ticket", ticket: "t" }), { type: "labkit:ticket", ticket: "t" });
  assert.deepEqual(fromParent({ type: "labkit:focus", id: "2" }), { type: "labkit:focus", id: "2" });
  const others = [null, "labkit:type", {}, { type: "labkit:ticket", ticket: 3 }, { type: "labkit:theme", dark: 1 },
    { type: "labkit:type", text: "ls" }, { type: "labkit:paste", id: "3" }, { type: "labkit:eval", id: "4", text: "x" }];
  for (const other of others) assert.equal(fromParent(other), null);
});

test("a ticket or a code is in the fragment and the names are in the path, below any prefix", () => {
  assert.deepEqual(broughtBy("#ticket=a.b-c_d"), { ticket: "a.b-c_d", code: null });
  assert.deepEqual(broughtBy("#code=x"), { ticket: null, code: "x" });
  assert.deepEqual(broughtBy(""), { ticket: null, code: null });
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
