// Waiting is always for a condition, with a deadline.
import { setTimeout as pause } from 'node:timers/promises';

// until asks again and again until condition gives something true, and gives that. The sentence `what` and what was
// seen last are in the error of a deadline missed.
export async function until(what, condition, { within = 20_000, every = 50 } = {}) {
  const deadline = performance.now() + within;
  let last;
  for (;;) {
    last = await condition();
    if (last) return last;
    if (performance.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
    await pause(every);
  }
}

// grows waits until the number that measure gives has grown by at least `by` over what it is now.
export async function grows(what, measure, by, options) {
  let start, now;
  try {
    return await until(what, async () => {
      now = await measure();
      start ??= now;
      return now - start >= by;
    }, options);
  } catch (err) {
    throw new Error(`${err.message} (from ${start} to ${now}, wanted ${by} more)`, { cause: err });
  }
}

// stands waits until the number that measure gives has not changed for a while (both in milliseconds).
export async function stands(what, measure, { still = 1000, ...options } = {}) {
  let value = NaN, since = 0;
  await until(what, async () => {
    const now = await measure();
    if (now !== value) [value, since] = [now, performance.now()];
    return performance.now() - since >= still;
  }, options);
  return value;
}
