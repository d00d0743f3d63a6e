// Asks again and again, but only while somebody can see it; more slowly while nobody answers.

const [INTERVAL, LONGEST] = [2000, 15_000];

export interface Polling {
  /** Asks at once, whatever the clock says. */
  now(): void;
  close(): void;
}

/** @param ask must not reject: it says whether it was answered */
export function poll(element: Element, ask: () => Promise<boolean>): Polling {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = INTERVAL;
  let asking = false;
  let onScreen = true;
  let closed = false;

  const visible = (): boolean => onScreen && document.visibilityState === "visible";

  async function turn(): Promise<void> {
    clearTimeout(timer);
    if (closed || asking || !visible()) return;
    asking = true;
    delay = (await ask()) ? INTERVAL : Math.min(LONGEST, delay * 1.5);
    asking = false;
    if (!closed) timer = setTimeout(() => void turn(), delay);
  }

  const wake = (): void => void turn();
  const observer = new IntersectionObserver((entries) => {
    onScreen = entries.at(-1)?.isIntersecting ?? true;
    if (onScreen) wake();
  });
  observer.observe(element);
  document.addEventListener("visibilitychange", wake);
  timer = setTimeout(wake, delay);
  return {
    now: wake,
    close() {
      closed = true;
      clearTimeout(timer);
      observer.disconnect();
      document.removeEventListener("visibilitychange", wake);
    },
  };
}
