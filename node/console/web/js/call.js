// A call: one room of the node, what we send and what we receive there, kept alive over lost connections and restarts of
// the node. It knows nothing of the page's elements.
import { ConnectionError, JanusError, Session } from './janus.js';
import { Publisher } from './publisher.js';
import { Subscriber } from './subscriber.js';

const plugin = 'janus.plugin.videoroom';
const codes = { draining: 472, forbidden: 403, noRoom: 426, roomExists: 427, missing: 429, full: 432, unauthorized: 433 };
const retryEvery = 3_000; // to join again a room that we were in, milliseconds

// What a room is like when we are who makes it. The node tells who talks, and whom nobody can see.
const newRoom = {
  publishers: 24, bitrate: 2_500_000, videocodec: 'vp8,h264,vp9,av1', notify_joining: true,
  audiolevel_event: true, audio_active_packets: 15, audio_level_average: 60,
};

// CallError is a failure with a sentence for the user. `kind` says what would help: "secret", "pin", "later" or "".
export class CallError extends Error {
  constructor(message, kind = '') {
    super(message);
    this.name = 'CallError';
    this.kind = kind;
  }
}

// fetchPage asks the node what the page must know.
export async function fetchPage() {
  const reply = await fetch('api/v1/page', { cache: 'no-store' });
  if (!reply.ok) throw new ConnectionError(`the node answers ${reply.status}`);
  return reply.json();
}

// serverURL is where the Janus API is, seen from this page.
export function serverURL(page) {
  const host = location.hostname;
  if (location.protocol !== 'https:') {
    if (!page.ws_port) throw new CallError('This node offers the Janus API over WebSocket neither here nor elsewhere (janus.ws_port).');
    return `ws://${host}:${page.ws_port}/`;
  }
  if (page.wss_port) return `wss://${host}:${page.wss_port}/`;
  return `wss://${location.host}/janus`; // a reverse proxy that has both on one port
}

// roomID reads a room's id as this node has them: text, or a positive integer. It returns null for what is neither.
export function roomID(text, page) {
  if (page.string_ids) return text.length > 0 && text.length <= 100 ? text : null;
  const n = Number(text);
  return /^[1-9][0-9]*$/.test(text) && Number.isSafeInteger(n) ? n : null;
}

// Call is one stay in a room. Events:
//   change    who is there, or what they send, changed: see `participants`, `waiting` and `received`
//   state     see `state`: "joining", "joined", "reconnecting" or "ended"
//   talking   detail { id, talking }
//   layers    the node sends another layer of something
//   message   detail { from, name, text }
//   full      we cannot send: others do already, as many as the room takes
//   kicked    we were sent away; the call has ended
export class Call extends EventTarget {
  state = 'joining';
  participants = new Map(); // those who publish: id to { id, display, metadata, streams, talking }
  waiting = new Map(); // those who only watch: id to { id, display }
  id = null; // ours
  description = '';
  canSend = false;

  #page;
  #options; // room, secret, pin, relay
  #self; // display, metadata
  #told = ''; // what of self the node knows
  #session = null;
  #publisher = null;
  #subscriber = null;
  #tracks = { audio: null, camera: null, screen: null };
  #ended = false;

  constructor(page, options, self) {
    super();
    this.#page = page;
    this.#options = options;
    this.#self = self;
  }

  get received() { return this.#subscriber?.received ?? new Map(); }

  // handles are where the node's figures are found: { session, publisher, subscriber }, ids or null.
  get handles() {
    return {
      session: this.#session?.id ?? null,
      publisher: this.#publisher?.published ? this.#publisher.handle.id : null,
      subscriber: this.#subscriber?.handle?.id ?? null,
    };
  }

  // mid is the media line on which we send audio, camera or screen, null when we do not.
  mid(what) { return this.#publisher?.mid(what) ?? null; }

  // join enters the room, which it makes if need be, and begins to send and receive.
  async join() {
    try {
      await this.#enter();
    } catch (err) {
      this.#drop();
      throw explain(err, this.#page);
    }
  }

  // send sends a track, or none, as audio, camera or screen.
  send(what, track) {
    this.#tracks[what] = track;
    return this.#publisher?.set(what, track) ?? Promise.resolve();
  }

  // publish tries to send once more, when there was no place before.
  async publish() {
    try {
      await this.#publisher.publish();
      this.canSend = true;
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== codes.full) throw explain(err, this.#page);
      this.canSend = false;
      this.dispatchEvent(new Event('full'));
    }
    this.#changed();
  }

  // tell changes what others know of us: { display, metadata }.
  async tell(self) {
    Object.assign(this.#self, self);
    await this.#tellIfNew();
  }

  async #tellIfNew() {
    const now = JSON.stringify(this.#self);
    if (this.state !== 'joined' || now === this.#told) return;
    this.#told = now;
    await this.#publisher.handle.message({ request: 'configure', ...this.#self });
  }

  choose(line, substream) { return this.#subscriber.choose(line, substream); }
  say(text) { return this.#publisher?.say(text) ?? false; }

  leave() {
    this.#ended = true;
    this.#drop();
    this.#become('ended');
  }

  async #enter() {
    const session = new Session({ url: serverURL(this.#page), secret: this.#options.secret });
    this.#session = session;
    await session.open();
    session.addEventListener('lost', () => this.#become('reconnecting'));
    session.addEventListener('back', () => this.#become('joined'));
    session.addEventListener('over', () => this.#rejoin());
    const handle = await session.attach(plugin);
    handle.addEventListener('event', ({ detail }) => this.#event(detail.data));
    const joined = await this.#joinRoom(handle);
    this.id = joined.id;
    this.description = joined.description;
    this.participants.clear();
    this.waiting.clear();
    for (const p of joined.publishers) this.#publishes(p);
    for (const a of joined.attendees ?? []) this.waiting.set(a.id, a);

    const ice = relays => this.#ice(relays);
    this.#publisher = new Publisher(handle, ice);
    const { room, pin } = this.#options;
    this.#subscriber = new Subscriber(session, { room, private_id: joined.private_id, ...(pin && { pin }) }, ice);
    this.#subscriber.addEventListener('change', () => this.#changed());
    this.#subscriber.addEventListener('layers', () => this.dispatchEvent(new Event('layers')));
    this.#subscriber.addEventListener('message', ({ detail }) => this.#heard(detail));
    for (const part of [this.#publisher, this.#subscriber]) {
      part.addEventListener('down', () => this.#become('reconnecting'));
      part.addEventListener('up', () => this.#become('joined'));
    }
    for (const [what, track] of Object.entries(this.#tracks)) this.#publisher.set(what, track);
    this.#want();
    await this.publish();
    this.#become('joined');
    await this.#tellIfNew(); // what changed on the way in
  }

  async #joinRoom(handle) {
    const { room, pin } = this.#options;
    this.#told = JSON.stringify(this.#self);
    const join = async () => (await handle.message({
      request: 'join', ptype: 'publisher', room, ...this.#self, ...(pin && { pin }),
    })).data;
    try {
      return await join();
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== codes.noRoom || this.#page.admin_key) throw err;
    }
    try {
      await handle.message({ request: 'create', room, description: `Room ${room}`, ...newRoom });
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== codes.roomExists) throw err; // somebody was faster
    }
    return join();
  }

  // ice returns what a connection may use. Relays are for those for whom the direct way does not work.
  async #ice(relays) {
    const relayOnly = this.#options.relay;
    if (!relays && !relayOnly) return { servers: [], relayOnly };
    try {
      return { servers: (await fetchPage()).ice_servers ?? [], relayOnly }; // with fresh credentials
    } catch {
      return { servers: [], relayOnly };
    }
  }

  // rejoin enters the room anew, as often as it takes: the session is gone, with the node's restart or after too long a
  // time without a network.
  async #rejoin() {
    if (this.#ended) return;
    this.#become('reconnecting');
    this.#drop();
    for (let wait = retryEvery / 3; !this.#ended; wait = retryEvery) { // everybody else comes back just now, too
      await new Promise(resolve => setTimeout(resolve, wait * (0.7 + 0.6 * Math.random())));
      if (this.#ended) return;
      try {
        this.#page = await fetchPage();
        await this.#enter();
        return;
      } catch (err) {
        this.#drop();
        console.warn('join again:', err);
      }
    }
  }

  #drop() {
    this.#publisher?.close();
    this.#subscriber?.close();
    this.#session?.close();
    this.#publisher = this.#subscriber = this.#session = null;
    this.participants.clear();
    this.waiting.clear();
    this.#changed();
  }

  #become(state) {
    if (this.#ended) state = 'ended';
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }

  #changed() { this.dispatchEvent(new Event('change')); }

  // want subscribes to everything that others send.
  #want() {
    const streams = [];
    for (const p of this.participants.values()) {
      for (const s of p.streams.values()) {
        if (!s.disabled) streams.push({ feed: p.id, mid: s.mid, data: s.type === 'data' });
      }
    }
    this.#subscriber?.want(streams);
  }

  #publishes(p) {
    const known = this.participants.get(p.id);
    this.waiting.delete(p.id);
    this.participants.set(p.id, {
      id: p.id,
      display: p.display ?? known?.display ?? '',
      metadata: p.metadata ?? known?.metadata ?? {},
      talking: p.talking ?? known?.talking ?? false,
      streams: new Map(p.streams.map(s => [s.mid, s])),
    });
  }

  #event(data) {
    const talking = data.videoroom === 'talking';
    if (talking || data.videoroom === 'stopped-talking') {
      const p = this.participants.get(data.id);
      if (p) p.talking = talking;
      this.dispatchEvent(new CustomEvent('talking', { detail: { id: data.id, talking } }));
      return;
    }
    if (data.videoroom === 'destroyed') return this.#sentAway('The room was closed.');
    if (data.videoroom !== 'event') return;
    for (const p of data.publishers ?? []) this.#publishes(p);
    if (data.joining) this.waiting.set(data.joining.id, data.joining);
    if (data.moderation) {
      const stream = this.participants.get(data.id)?.streams.get(data.mid);
      if (stream) stream.moderated = data.moderation === 'muted';
    }
    for (const p of [this.participants.get(data.id), this.waiting.get(data.id)]) {
      if (!p) continue; // a new name, or other metadata
      if (data.display !== undefined) p.display = data.display;
      if (data.metadata !== undefined) p.metadata = data.metadata;
    }
    if (data.leaving === 'ok' && data.reason === 'kicked') return this.#sentAway('You were sent out of the room.');
    if (data.unpublished !== undefined) {
      const p = this.participants.get(data.unpublished);
      if (this.participants.delete(data.unpublished)) this.waiting.set(p.id, { id: p.id, display: p.display });
    }
    for (const gone of [data.leaving, data.kicked]) {
      this.participants.delete(gone);
      this.waiting.delete(gone);
    }
    this.#want();
    this.#changed();
  }

  #sentAway(why) {
    this.leave();
    this.dispatchEvent(new CustomEvent('kicked', { detail: why }));
  }

  #heard({ feed, text }) {
    // The label is the node's word for who speaks; nothing in the text is.
    const p = [...this.participants.values()].find(p => String(p.id) === feed);
    this.dispatchEvent(new CustomEvent('message', { detail: { from: feed, name: p?.display ?? '', text } }));
  }
}

// explain makes a sentence of what went wrong on the way in.
function explain(err, page) {
  if (err instanceof CallError) return err;
  if (err instanceof ConnectionError) {
    return new CallError('The node cannot be reached. Is the WebSocket port open to you?', 'later');
  }
  if (!(err instanceof JanusError)) return new CallError(`This did not work: ${err.message}`);
  switch (err.code) {
    case codes.draining:
      return new CallError('This node takes no new calls just now: it is busy or about to stop. Try again in a moment.', 'later');
    case codes.forbidden:
      return new CallError('This node asks for an API secret or a token.', 'secret');
    case codes.noRoom:
      return new CallError(page.admin_key ? 'There is no such room, and only the operator makes rooms on this node.' : 'There is no such room.');
    case codes.missing:
      return new CallError('The room asks for a PIN.', 'pin');
    case codes.unauthorized:
      return new CallError('The room does not let you in with that PIN.', 'pin');
  }
  return new CallError(`The node refuses: ${err.message} (${err.code})`);
}
