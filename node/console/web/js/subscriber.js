// What this page receives: the streams of all others, over one PeerConnection with a media line for each. Lines come, go
// and are reused as the node offers them.
import { Connection, pauseAfter, serial } from './connection.js';
import { JanusError } from './janus.js';

const plugin = 'janus.plugin.videoroom';
const noSuchFeed = 428;

const keyOf = (feed, mid) => `${feed}/${mid}`;

// Subscriber subscribes to streams of a room. Events:
//   change   what is received is not what it was, see `received`
//   layers   the node sends another layer of something
//   message  detail { feed, text }: somebody said something
//   down, up  its connection was lost and is being made anew; it is there
//   trouble  nothing comes over it, for now
export class Subscriber extends EventTarget {
  // received is what flows, by feed and its mid: { feed, mid, line, type, track }, where line is our own mid.
  received = new Map();

  #session;
  #room; // what goes into the request to join: room, pin, private_id
  #ice;
  #handle = null;
  #connection = null;
  #wanted = new Map(); // by key
  #subscribed = new Map(); // what the node has for us
  #inTurn = serial();
  #pending = false;
  #closed = false;

  constructor(session, room, ice) {
    super();
    this.#session = session;
    this.#room = room;
    this.#ice = ice;
  }

  // handle is what receives, null before anything is.
  get handle() { return this.#connection && this.#handle; }

  // expects tells whether there is something to receive, up whether the connection for it is there, and target where it leads.
  get expects() { return this.#wanted.size > 0; }
  get up() { return this.#connection?.up ?? false; }
  get target() { return this.#connection?.target ?? null; }

  // want says which streams are to be received, from now on: [{ feed, mid, data }], where data says that it is a data line.
  want(streams) {
    this.#wanted = new Map(streams.map(s => [keyOf(s.feed, s.mid), s]));
    if (this.#pending) return;
    this.#pending = true;
    this.#inTurn(() => {
      this.#pending = false;
      return this.#settle();
    }).catch(err => {
      if (!this.#closed) console.warn('subscribe:', err);
    });
  }

  // choose bounds the quality of a line: 0 low, 1 medium, 2 as high as the network allows.
  choose(line, substream) {
    return this.#handle.message({ request: 'configure', streams: [{ mid: line, substream, temporal: 2 }] });
  }

  close() {
    this.#closed = true;
    this.#connection?.close();
  }

  // settle makes what is subscribed what is wanted.
  async #settle() {
    if (this.#closed) return;
    const missing = (from, other) => [...from].filter(([key]) => !other.has(key)).map(([, { feed, mid }]) => ({ feed, mid }));
    const add = missing(this.#wanted, this.#subscribed), remove = missing(this.#subscribed, this.#wanted);
    if (add.length + remove.length === 0) return;
    try {
      if (!this.#handle) {
        if (add.length > 0) await this.#join(add);
        return;
      }
      const reply = await this.#handle.message({
        request: 'update',
        ...(add.length > 0 && { subscribe: add }),
        ...(remove.length > 0 && { unsubscribe: remove }),
      });
      for (const s of add) this.#subscribed.set(keyOf(s.feed, s.mid), s);
      for (const s of remove) this.#subscribed.delete(keyOf(s.feed, s.mid));
      await this.#offered(reply);
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== noSuchFeed) throw err;
      // Somebody left while we asked. An event says who, and then what is wanted is without them; do not wait for it.
      const gone = add.filter(s => err.message.includes(`(${s.feed})`));
      for (const s of gone) this.#wanted.delete(keyOf(s.feed, s.mid));
      if (gone.length > 0) await this.#settle();
    }
  }

  async #join(streams) {
    const handle = await this.#session.attach(plugin);
    this.#handle = handle;
    handle.addEventListener('event', ({ detail }) => this.#event(detail));
    handle.addEventListener('webrtcup', () => this.dispatchEvent(new Event('up')));
    handle.addEventListener('hangup', () => this.#lost(handle));
    try {
      const reply = await handle.message({ request: 'join', ptype: 'subscriber', ...this.#room, use_msid: true, streams });
      for (const s of streams) this.#subscribed.set(keyOf(s.feed, s.mid), s);
      await this.#offered(reply);
    } catch (err) {
      this.#reset();
      handle.detach().catch(() => {});
      throw err;
    }
  }

  #event({ data, jsep }) {
    if (jsep) {
      this.#inTurn(() => this.#offered({ data, jsep })).catch(err => console.warn('offer:', err));
    } else if (data.mid !== undefined) {
      this.dispatchEvent(new Event('layers'));
    }
  }

  // offered answers the node's offer, if there is one, and takes stock.
  async #offered({ data, jsep }) {
    if (this.#closed || !this.#handle) return;
    if (jsep) {
      if (!this.#connection) {
        const connection = this.#connection = new Connection(this.#handle, this.#ice, {
          restart: () => this.#restart(),
          trouble: () => this.dispatchEvent(new Event('trouble')),
        });
        const pc = await connection.open().catch(err => {
          if (this.#connection === connection) this.#connection = null;
          throw err;
        });
        pc.ondatachannel = ({ channel }) => this.#listen(channel);
      }
      const pc = this.#connection.pc;
      await pc.setRemoteDescription(jsep);
      await pc.setLocalDescription(await pc.createAnswer());
      await this.#handle.message({ request: 'start' }, { type: pc.localDescription.type, sdp: pc.localDescription.sdp });
    }
    if (data.streams) this.#take(data.streams);
  }

  #take(lines) {
    const tracks = new Map(this.#connection.pc.getTransceivers().map(t => [t.mid, t.receiver.track]));
    this.received = new Map();
    this.#subscribed = new Map();
    for (const l of lines) {
      for (const feed of l.source_ids ?? []) { // of the one line for data
        const mid = [...this.#wanted.values()].find(s => s.feed === feed && s.data)?.mid;
        if (mid !== undefined) this.#subscribed.set(keyOf(feed, mid), { feed, mid });
      }
      if (!l.active || l.feed_id === undefined) continue;
      const key = keyOf(l.feed_id, l.feed_mid);
      this.#subscribed.set(key, { feed: l.feed_id, mid: l.feed_mid });
      this.received.set(key, {
        feed: l.feed_id, mid: l.feed_mid, line: l.mid, type: l.type, track: tracks.get(l.mid),
      });
    }
    this.dispatchEvent(new Event('change'));
  }

  #listen(channel) {
    channel.onmessage = ({ data }) => {
      if (typeof data === 'string') {
        this.dispatchEvent(new CustomEvent('message', { detail: { feed: channel.label, text: data } }));
      }
    };
  }

  #restart() {
    return this.#inTurn(async () => {
      if (this.#handle) await this.#offered(await this.#handle.message({ request: 'configure', restart: true }));
    });
  }

  // lost begins anew with another handle: one that was hung up cannot be used again.
  #lost(handle) {
    if (this.#closed || handle !== this.#handle) return;
    this.dispatchEvent(new Event('down'));
    const pause = pauseAfter(this.#connection);
    this.#reset();
    handle.detach().catch(() => {});
    this.dispatchEvent(new Event('change'));
    setTimeout(() => this.want([...this.#wanted.values()]), pause);
  }

  #reset() {
    this.#connection?.close();
    this.#connection = this.#handle = null;
    this.#subscribed.clear();
    this.received.clear();
  }
}
