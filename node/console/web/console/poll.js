// Asks again and again while the page is looked at.

// Poll calls `load(signal)` at once and then `every` milliseconds after it came back. It stops while the page is hidden, and for
// good with stop().
export class Poll {
  #load;
  #every;
  #timer = 0;
  #asking = null;
  #stopped = false;
  #seen = () => {
    if (document.visibilityState === 'visible') this.soon();
  };

  constructor(load, every) {
    this.#load = load;
    this.#every = every;
    document.addEventListener('visibilitychange', this.#seen);
    this.soon();
  }

  // soon asks now. What is being asked is not wanted any more.
  soon() {
    this.#asking?.abort();
    clearTimeout(this.#timer);
    if (!this.#stopped) this.#tick();
  }

  stop() {
    this.#stopped = true;
    this.#asking?.abort();
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#seen);
  }

  async #tick() {
    const asking = this.#asking = new AbortController();
    try {
      await this.#load(asking.signal);
    } catch (err) {
      if (err.name !== 'AbortError') console.error(err);
    }
    if (this.#stopped || this.#asking !== asking || document.visibilityState !== 'visible') return;
    this.#timer = setTimeout(() => this.#tick(), this.#every);
  }
}
