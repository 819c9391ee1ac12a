// A PeerConnection of a handle: trickles candidates, and asks for an ICE restart when the network has changed or when the
// direct way does not work, the second time with relays.

const patience = 7_000; // before a connection that does not come up is tried by relay, milliseconds
const interruption = 4_000; // that is waited out
const restartEvery = 8_000;

// Connection wraps an RTCPeerConnection as `pc`.
//   ice       gives { servers, relayOnly } and is asked anew each time: credentials of relays expire
//   restart   is called when the negotiation should be repeated with new ICE credentials
export class Connection {
  #ice;
  #restart;
  #handle;
  #timer = 0;
  #restarted = 0;
  #wasUp = false;

  constructor(handle, ice, restart) {
    this.#handle = handle;
    this.#ice = ice;
    this.#restart = restart;
  }

  // open makes the RTCPeerConnection.
  async open() {
    const { servers, relayOnly } = await this.#ice(false);
    this.pc = new RTCPeerConnection({
      bundlePolicy: 'max-bundle',
      iceServers: servers,
      iceTransportPolicy: relayOnly ? 'relay' : 'all',
    });
    this.pc.onicecandidate = ({ candidate }) => {
      // What the node does not take of a candidate, or cannot be told now, is no reason to end a call.
      this.#handle.trickle(candidate?.toJSON() ?? null).catch(() => {});
    };
    this.pc.onconnectionstatechange = () => this.#changed();
    this.#watch(patience);
    return this.pc;
  }

  get up() { return this.pc?.connectionState === 'connected'; }

  // target is where the node takes media, of its candidates: { hosts, port }, null while it has not named any.
  get target() {
    const found = [...(this.pc?.remoteDescription?.sdp ?? '').matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) /gm)];
    return found.length > 0 ? { hosts: [...new Set(found.map(([, host]) => host))], port: found[0][2] } : null;
  }

  close() {
    clearTimeout(this.#timer);
    if (!this.pc) return;
    this.pc.onicecandidate = this.pc.onconnectionstatechange = this.pc.ondatachannel = null;
    this.pc.close();
  }

  #changed() {
    switch (this.pc.connectionState) {
      case 'connected':
        clearTimeout(this.#timer);
        this.#wasUp = true;
        break;
      case 'disconnected':
        this.#watch(interruption);
        break;
      case 'failed':
        this.#watch(0);
        break;
    }
  }

  #watch(ms) {
    clearTimeout(this.#timer);
    const wait = Math.max(ms, this.#restarted + restartEvery - performance.now());
    this.#timer = setTimeout(() => this.#again(), this.#restarted ? wait : ms);
  }

  async #again() {
    if (this.pc.connectionState === 'connected' || this.pc.connectionState === 'closed') return;
    this.#restarted = performance.now();
    this.#watch(restartEvery);
    if (this.pc.signalingState !== 'stable') return; // the first offer was not answered yet: nothing to restart
    try {
      const { servers } = await this.#ice(!this.#wasUp);
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: servers });
      await this.#restart();
    } catch (err) {
      console.warn('restart of ICE:', err);
    }
  }
}

// serial returns a function that runs asynchronous functions one after another, and returns the promise of each.
export function serial() {
  let last = Promise.resolve();
  return task => {
    const run = last.then(task);
    last = run.catch(() => {});
    return run;
  };
}
