// How long to wait before the next try, and when a stream that keeps being cut was taken over by somebody else.

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/** The wait before try number `failures` + 1, in ms; `random` in 0..1 spreads pages that lost the same server. */
export function delay(failures: number, random: number): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
  return Math.round(whole * (0.75 + random / 4));
}

const QUICK_MS = 10_000;
const QUICK_CUTS = 3;

/**
 * Whether a stream that was cut while its machine runs was taken over. `others` are the pane's streams that the gateway
 * knows of now (ours is gone), `lifetimes` how long our last ones lived (ms, newest last): where another gateway holds
 * the other one, all that shows is that each of ours is cut soon.
 */
export function takenOver(others: number, lifetimes: readonly number[]): boolean {
  const last = lifetimes.slice(-QUICK_CUTS);
  return others > 0 || (last.length === QUICK_CUTS && last.every((lifetime) => lifetime < QUICK_MS));
}
