// A session on a serial console may begin with what the machine printed before: with what of it is on the screen
// already? The embedded engine sends the last output first; a cluster sends nothing, and then all of it is new.

/** Bytes by whose return a replay is known. */
const TAIL = 256;
/** Questions to a terminal: they are left out of a replay, or it would answer them again. */
const QUESTIONS = new RegExp("\\x1b\\[[?>=]?[0-9;]*[cn]|\\x1bZ|\\x1b\\][0-9;]*\\?(\\x07|\\x1b\\\\)|\\x05", "g");
const latin1 = new TextDecoder("latin1");

export class Replay {
  private tail = "";
  private begins = false;

  /** A new session: its first message may be a replay. */
  begin(): void {
    this.begins = true;
  }

  /** The part of a message that is not on the screen yet. */
  unseen(message: Uint8Array): Uint8Array {
    const { tail } = this;
    const at = this.begins && tail ? latin1.decode(message).lastIndexOf(tail) : -1;
    this.begins = false;
    this.tail = (tail + latin1.decode(message.subarray(-4 * TAIL))).replace(QUESTIONS, "").slice(-TAIL);
    return at < 0 ? message : message.subarray(at + tail.length);
  }
}
