// A PeerConnection of a handle: trickles candidates, and asks for an ICE restart when the network has changed or when the
// direct way does not work, the second time with relays.

const patience = 7_000; // before a connection that does not come up is tried by relay, milliseconds
const interruption = 4_000; // that is waited out
const restartEvery = 8_000;
const lasting = 5_000; // a connection that was not in vain
const silence = 3_000; // is trouble, or one lost check where nothing else is sent: browsers make them every 2.5 s, and give their peer up after 7 s

// Connection wraps an RTCPeerConnection as `pc`.
//   ice       gives { servers, relayOnly } and is asked anew each time: credentials of relays expire
//   restart   is called when the negotiation should be repeated with new ICE credentials
//   trouble   is called when nothing comes any more
export class Connection {
  opened = performance.now();

  #ice;
  #restart;
  #trouble;
  #handle;
  #timer = 0;
  #closed = false;
  #restarted = 0;
  #wasUp = false;
  #listening = 0; // a timer
  #heard = { what: '', when: 0 }; // what has come in all, and since when that is all

  constructor(handle, ice, { restart, trouble }) {
    this.#handle = handle;
    this.#ice = ice;
    this.#restart = restart;
    this.#trouble = trouble;
  }

  // open makes the RTCPeerConnection.
  async open() {
    const { servers, relayOnly } = await this.#ice(false);
    if (this.#closed) throw new Error('the connection was closed before it was open');
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
    this.#listening = setInterval(() => this.#listen(), 500);
    return this.pc;
  }

  get up() { return this.pc?.connectionState === 'connected'; }

  // target is where the node takes media, of its candidates: { hosts, port }, null while it has not named any.
  get target() {
    const found = [...(this.pc?.remoteDescription?.sdp ?? '').matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) /gm)];
    return found.length > 0 ? { hosts: [...new Set(found.map(([, host]) => host))], port: found[0][2] } : null;
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#listening);
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
        this.#trouble();
        break;
      case 'failed':
        this.#watch(0);
        this.#trouble();
        break;
    }
  }

  // listen finds out whether anything comes. Where statistics do not tell, and with no more than a chat, the browser's own word has to do.
  async #listen() {
    const line = this.pc.getTransceivers().find(t => ['sendonly', 'recvonly'].includes(t.currentDirection));
    if (!this.up || !line) return;
    const stats = await (line.currentDirection === 'sendonly' ? line.sender : line.receiver).getStats().catch(() => null);
    const all = [...stats?.values() ?? []], transport = all.find(s => s.type === 'transport');
    const pair = stats?.get(transport?.selectedCandidatePairId) ?? all.find(s => s.type === 'candidate-pair' && s.selected);
    if (!pair) return;
    const what = `${pair.id} ${pair.bytesReceived} ${pair.responsesReceived}`, now = performance.now();
    if (what !== this.#heard.what) this.#heard = { what, when: now };
    else if (now - this.#heard.when >= silence) {
      this.#heard.when = Infinity; // that is told once
      this.#trouble();
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

// pauseAfter is how long to wait, in milliseconds, before a new connection is opened in place of one (null: none) that the node hung up: hardly
// at all, since the node that had its media may have died, unless connections do not last.
export const pauseAfter = connection => (connection && performance.now() - connection.opened > lasting ? 200 : 1_500);

// serial returns a function that runs asynchronous functions one after another, and returns the promise of each.
export function serial() {
  let last = Promise.resolve();
  return task => {
    const run = last.then(task);
    last = run.catch(() => {});
    return run;
  };
}
