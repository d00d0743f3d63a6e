// The lab view over HTTP: POST base/<method>, GET base/media/<path>. Also the error that both transports share.
import type { Request, Transport } from "./contract.ts";
import { strings } from "./strings.ts";

/** Nobody answered; the message says who, and what to do. A server that answers with a fault gives a plain Error. */
export class ConnectionLost extends Error {}

/** This page is at no address below which there are panes. */
export class NoPanesHere extends Error {}

/** Each part of a path, escaped, so that a name with `?` or `#` stays a name. */
function escapePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

async function post(url: string, params: object): Promise<Response> {
  try {
    return await fetch(url, {
      method: "POST",
      // A header that a foreign site's form cannot send: the server takes it as proof of our own page.
      headers: { "Content-Type": "application/json", "X-Labkit": "1" },
      body: JSON.stringify(params),
      credentials: "same-origin",
    });
  } catch (cause) {
    throw new ConnectionLost(strings.serviceGone, { cause });
  }
}

async function refusal(response: Response): Promise<Error> {
  if (response.status === 502 || response.status === 503 || response.status === 504) {
    return new ConnectionLost(strings.serviceGone);
  }
  const body: unknown = await response.json().catch(() => null);
  const said = (body as { error?: unknown } | null)?.error;
  return new Error(typeof said === "string" ? said : strings.serviceSaid(response.status));
}

/**
 * @param base where the methods are, with or without a slash at its end
 * @param paneBase what pane paths (`panes/<lab>/<machine>/<pane>/`) are relative to: the gateway's root
 */
export function httpTransport(base: string, paneBase = "/"): Transport {
  const root = new URL(base.endsWith("/") ? base : `${base}/`, document.baseURI).href;
  const request: Request = async (method, params) => {
    const response = await post(root + method, params);
    if (!response.ok) throw await refusal(response);
    return response.json().catch((cause) => {
      throw new ConnectionLost(strings.serviceGone, { cause });
    });
  };
  return {
    request,
    media: async (path) => `${root}media/${escapePath(path)}`,
    paneUrl: (path) => new URL(path, new URL(paneBase, document.baseURI)).href,
    onEvent: () => () => {}, // HTTP has no events: the view polls
  };
}
