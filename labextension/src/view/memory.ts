// Small things remembered for this browser tab: the page last read, the width of the instructions. Never anything secret.

export function recall(key: string): string | null {
  try {
    return sessionStorage.getItem(`labkit:${key}`);
  } catch {
    return null; // storage is forbidden here (a sandboxed frame): then nothing is remembered
  }
}

export function remember(key: string, value: string): void {
  try {
    sessionStorage.setItem(`labkit:${key}`, value);
  } catch {
    // as above
  }
}
