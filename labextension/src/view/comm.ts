// The lab view over a Jupyter comm, as anywidget gives it: custom messages with an id each way, images as buffers.
import type { Request, Transport } from "./contract.ts";
import { strings } from "./strings.ts";
import { ConnectionLost, NoPanesHere } from "./transport.ts";

/** The part of anywidget's model that we use. */
export interface WidgetModel {
  get(name: string): unknown;
  send(content: unknown): void;
  on(name: string, callback: (...values: never[]) => void): void;
  off(name: string, callback: (...values: never[]) => void): void;
}

interface Answer {
  id?: string;
  result?: unknown;
  error?: string;
  event?: unknown;
}

interface Waiting {
  resolve(answer: { result: unknown; buffers: DataView<ArrayBuffer>[] }): void;
  reject(error: Error): void;
}

/** How long a busy kernel may take before the view says that it does not answer. Milliseconds. */
const PATIENCE = 15_000;

/** The address of the Jupyter server as its own page says it: right under any base URL and under a Hub. */
function jupyterBase(): URL {
  const config = document.getElementById("jupyter-config-data")?.textContent;
  const base: unknown = config ? (JSON.parse(config) as { baseUrl?: unknown }).baseUrl : undefined;
  if (typeof base !== "string") throw new NoPanesHere(strings.panesNeedJupyter);
  return new URL(base.endsWith("/") ? base : `${base}/`, location.origin);
}

export function commTransport(model: WidgetModel, patience = PATIENCE): Transport {
  const waiting = new Map<string, Waiting>();
  const listeners = new Set<(event: unknown) => void>();
  const pictures = new Map<string, Promise<string>>();
  // Several views of one model hear all answers, so ids must differ between them (crypto.randomUUID needs https).
  const mine = Math.random().toString(36).slice(2);
  let count = 0;

  const receive = (message: Answer, buffers: DataView<ArrayBuffer>[] = []): void => {
    if (message.event !== undefined) for (const listener of listeners) listener(message.event);
    const one = message.id === undefined ? undefined : waiting.get(message.id);
    if (typeof message.error === "string") one?.reject(new Error(message.error));
    else one?.resolve({ result: message.result, buffers });
  };
  model.on("msg:custom", receive);

  function ask(method: string, params: object): Promise<{ result: unknown; buffers: DataView<ArrayBuffer>[] }> {
    const id = `${mine}-${(count += 1)}`;
    return new Promise<{ result: unknown; buffers: DataView<ArrayBuffer>[] }>((resolve, reject) => {
      const timer = setTimeout(() => reject(new ConnectionLost(strings.kernelSlow)), patience);
      const settle = (): void => {
        clearTimeout(timer);
        waiting.delete(id);
      };
      waiting.set(id, {
        resolve: (answer) => (settle(), resolve(answer)),
        reject: (error) => (settle(), reject(error)),
      });
      try {
        model.send({ id, method, params });
      } catch (cause) {
        settle();
        reject(new ConnectionLost(strings.kernelGone, { cause }));
      }
    }).finally(() => waiting.delete(id));
  }

  async function picture(path: string): Promise<string> {
    const { result, buffers } = await ask("media", { path });
    const type = (result as { type?: unknown } | null)?.type;
    const bytes = buffers[0];
    if (bytes === undefined) throw new Error(`The image ${path} came without its bytes.`);
    return URL.createObjectURL(new Blob([bytes], { type: typeof type === "string" ? type : "" }));
  }

  return {
    request: (async (method: string, params: object) => (await ask(method, params)).result) as Request,
    media(path) {
      const known = pictures.get(path) ?? picture(path);
      pictures.set(path, known);
      known.catch(() => pictures.delete(path));
      return known;
    },
    paneUrl: (path) => new URL(`labkit/${path}`, jupyterBase()).href,
    onEvent(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    close() {
      model.off("msg:custom", receive);
      for (const one of [...waiting.values()]) one.reject(new ConnectionLost(strings.kernelGone));
      for (const url of pictures.values()) url.then(URL.revokeObjectURL, () => {});
    },
  };
}
