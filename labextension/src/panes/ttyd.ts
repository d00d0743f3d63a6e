// ttyd's protocol, subprotocol "tty": a first JSON message, then one command byte before each message's bytes.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export type FromTtyd =
  | { kind: "output"; data: Uint8Array }
  | { kind: "title"; title: string }
  | { kind: "other" };

export interface Size {
  columns: number;
  rows: number;
}

/** The first message. The token is empty: the way to ttyd is closed to all but the gateway. */
export const hello = (size: Size): Uint8Array => encoder.encode(JSON.stringify({ AuthToken: "", ...size }));

/** What was typed. */
export const input = (data: string | Uint8Array): Uint8Array =>
  command("0", typeof data === "string" ? encoder.encode(data) : data);

/** The terminal's size. Said again unchanged it does nothing: so it is also the sign of life. */
export const resize = (size: Size): Uint8Array => command("1", encoder.encode(JSON.stringify(size)));

/** Ask ttyd to hold its output back, and to go on. */
export const pause = (): Uint8Array => encoder.encode("2");
export const resume = (): Uint8Array => encoder.encode("3");

/** What a message of ttyd's says. */
export function read(message: ArrayBuffer): FromTtyd {
  const bytes = new Uint8Array(message);
  const data = bytes.subarray(1);
  switch (String.fromCharCode(bytes[0] ?? 0)) {
    case "0":
      return { kind: "output", data };
    case "1":
      return { kind: "title", title: decoder.decode(data) };
    default:
      return { kind: "other" };
  }
}

function command(letter: string, data: Uint8Array): Uint8Array {
  const message = new Uint8Array(data.length + 1);
  message[0] = letter.charCodeAt(0);
  message.set(data, 1);
  return message;
}
