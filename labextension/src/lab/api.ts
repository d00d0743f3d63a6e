// What the extension asks of labkit's server extension, through JupyterLab's own connection: signed in, protected.
import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";
import type { Lab, Machine, Request, Transport } from "../view/contract.ts";
import { strings } from "../view/strings.ts";
import { ConnectionLost } from "../view/transport.ts";

export interface RunningLab extends Lab {
  machines: Machine[];
}

export interface Template {
  name: string;
  title: string;
  source: string;
  problem: string;
}

const settings = ServerConnection.makeSettings();
/** Below which the server extension answers. */
export const ROOT = URLExt.join(settings.baseUrl, "labkit/");

async function ask<T>(method: string, path: string, body?: object): Promise<T> {
  let response: Response;
  try {
    const init = { method, ...(body ? { body: JSON.stringify(body) } : {}) };
    response = await ServerConnection.makeRequest(`${ROOT}api/${path}`, init, settings);
  } catch (cause) {
    throw new ConnectionLost(strings.serviceGone, { cause });
  }
  const said = (await response.json().catch(() => null)) as (T & { error?: string; message?: string }) | null;
  if ([502, 503, 504].includes(response.status)) throw new ConnectionLost(said?.error ?? strings.serviceGone);
  if (!response.ok || said === null) throw new Error(said?.error ?? said?.message ?? strings.serviceSaid(response.status));
  return said;
}

export const templates = async (): Promise<Template[]> => (await ask<{ templates: Template[] }>("GET", "templates")).templates;
export const labs = async (): Promise<RunningLab[]> => (await ask<{ labs: RunningLab[] }>("GET", "labs")).labs;
export const start = async (template: string): Promise<string> => (await ask<{ lab: string }>("POST", "labs", { template })).lab;
export const stop = (lab: string): Promise<object> => ask("DELETE", `labs/${lab}`);

/** The way between a lab view and its server. */
export function transport(lab: string): Transport {
  return {
    request: ((method: string, params: object) => ask("POST", `labs/${lab}/view/${method}`, params)) as Request,
    media: async (path) => `${ROOT}api/labs/${lab}/media/${path.split("/").map(encodeURIComponent).join("/")}`,
    paneUrl: (path) => new URL(ROOT + path, location.href).href,
    onEvent: () => () => {}, // the view polls
  };
}
