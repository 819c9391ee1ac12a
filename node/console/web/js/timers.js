// Timers that run on time in a hidden page, too, where browsers let the page's own run once a second or once a minute. A worker's are
// spared. It is started with the page: the node that it comes from may be gone when it is needed.
const clock = new Worker(new URL('./clock.js', import.meta.url));
const due = new Map(); // what is to be called, by id
let last = 0;

clock.onmessage = ({ data }) => ring(data);

function ring(id) {
  const call = due.get(id);
  due.delete(id);
  call?.();
}

// after calls a function in so many milliseconds, and returns an id to cancel that with.
export function after(ms, call) {
  const id = ++last;
  due.set(id, call);
  clock.postMessage({ id, ms });
  setTimeout(ring, ms, id); // better late than never, should there be no worker
  return id;
}

export function cancel(id) { due.delete(id); }

// pause waits so many milliseconds.
export const pause = ms => new Promise(resolve => after(ms, resolve));
