// A stay in a room: one session at one node, what we send and what we receive there.
import { JanusError, Session } from './janus.js';
import { Publisher } from './publisher.js';
import { Subscriber } from './subscriber.js';

const plugin = 'janus.plugin.videoroom';
const codes = { noRoom: 426, roomExists: 427, full: 432 };
const patience = 12_000; // with media that does not get through, milliseconds; by then relays were tried, too

// What a room is like when we are who makes it. The node tells who talks, and whom nobody can see.
const newRoom = {
  publishers: 24, bitrate: 2_500_000, videocodec: 'vp8,h264,vp9,av1', notify_joining: true,
  audiolevel_event: true, audio_active_packets: 15, audio_level_average: 60,
};

// Stay is one of them. Events:
//   change    who is there, or what they send, changed
//   lost, back, over   what became of its session or its connections
//   blocked   see `blocked`
//   trouble   nothing comes from the node, for now
//   talking, layers, message, full   as a Call's
//   away      detail: why we were sent away
export class Stay extends EventTarget {
  participants = new Map(); // those who publish: id to { id, display, metadata, streams, talking }
  waiting = new Map(); // those who only watch: id to { id, display }
  id = null; // ours
  description = '';
  canSend = false;
  blocked = null; // while media does not get through: where it should, { hosts, port }

  #url;
  #options; // room, secret, pin, make
  #ice;
  #ours; // ids that we have ourselves, here or at another node
  #session = null;
  #publisher = null;
  #subscriber = null;
  #told = ''; // what of us the node knows
  #away = false; // the session has no connection
  #since = new Map(); // since when media does not get through, by publisher and subscriber
  #looking = 0;

  // ice is a Connection's. ours is a Set that all stays of a call share.
  constructor(url, options, ice, ours) {
    super();
    this.#url = url;
    this.#options = options;
    this.#ice = ice;
    this.#ours = ours;
  }

  get url() { return this.#url; }
  get received() { return this.#subscriber?.received ?? new Map(); }

  get handles() {
    return {
      session: this.#session?.id ?? null,
      publisher: this.#publisher?.published ? this.#publisher.handle.id : null,
      subscriber: this.#subscriber?.handle?.id ?? null,
    };
  }

  mid(what) { return this.#publisher?.mid(what) ?? null; }
  send(what, track) { return this.#publisher?.set(what, track) ?? Promise.resolve(); }
  choose(line, substream) { return this.#subscriber.choose(line, substream); }
  say(text) { return this.#publisher?.say(text) ?? false; }

  // enter joins the room as self, { display, metadata }, and makes it if need be. Then everybody's streams are on their way.
  async enter(self) {
    const session = this.#session = new Session({ url: this.#url, secret: this.#options.secret });
    await session.open();
    for (const type of ['lost', 'back', 'over']) session.addEventListener(type, () => this.dispatchEvent(new Event(type)));
    session.addEventListener('lost', () => { this.#away = true; });
    session.addEventListener('back', () => { this.#away = false; });
    const handle = await session.attach(plugin);
    handle.addEventListener('event', ({ detail }) => this.#event(detail.data));
    const joined = await this.#join(handle, self);
    this.id = joined.id;
    this.#ours.add(joined.id);
    this.description = joined.description;
    for (const p of joined.publishers) this.#publishes(p);
    for (const a of joined.attendees ?? []) this.#waits(a);

    this.#publisher = new Publisher(handle, this.#ice);
    const { room, pin } = this.#options;
    this.#subscriber = new Subscriber(session, { room, private_id: joined.private_id, ...(pin && { pin }) }, this.#ice);
    this.#subscriber.addEventListener('change', () => this.#changed());
    this.#subscriber.addEventListener('layers', () => this.dispatchEvent(new Event('layers')));
    this.#subscriber.addEventListener('message', ({ detail }) => this.#heard(detail));
    for (const part of [this.#publisher, this.#subscriber]) {
      part.addEventListener('down', () => this.dispatchEvent(new Event('lost')));
      part.addEventListener('up', () => this.dispatchEvent(new Event('back')));
      part.addEventListener('trouble', () => this.dispatchEvent(new Event('trouble')));
    }
    this.#looking = setInterval(() => this.#look(), 1000);
    this.#want();
  }

  async #join(handle, self) {
    const { room, pin, make } = this.#options;
    this.#told = JSON.stringify(self);
    const join = async () => (await handle.message({
      request: 'join', ptype: 'publisher', room, ...self, ...(pin && { pin }),
    })).data;
    try {
      return await join();
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== codes.noRoom || !make) throw err;
    }
    try {
      await handle.message({ request: 'create', room, description: `Room ${room}`, ...newRoom });
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== codes.roomExists) throw err; // somebody was faster
    }
    return join();
  }

  // publish begins to send, with these tracks first, unless there is no place.
  async publish(tracks = {}) {
    for (const [what, track] of Object.entries(tracks)) this.#publisher.set(what, track);
    try {
      await this.#publisher.publish();
      this.canSend = true;
    } catch (err) {
      if (!(err instanceof JanusError) || err.code !== codes.full) throw err;
      this.canSend = false;
      this.dispatchEvent(new Event('full'));
    }
    this.#changed();
  }

  // tell changes what others know of us.
  async tell(self) {
    const now = JSON.stringify(self);
    if (now === this.#told) return;
    this.#told = now;
    await this.#publisher.handle.message({ request: 'configure', ...self });
  }

  // flows tells whether all comes that came to another stay, and whether what we send arrives.
  flows(other) {
    const comes = r => r?.track && !r.track.muted;
    return (!this.canSend || this.#publisher.up) &&
      [...other.received].every(([key, r]) => !comes(r) || comes(this.received.get(key)));
  }

  // forget takes somebody for one of us.
  forget(id) {
    this.#ours.add(id);
    this.participants.delete(id);
    this.waiting.delete(id);
    this.#want();
    this.#changed();
  }

  close() {
    clearInterval(this.#looking);
    this.#publisher?.close();
    this.#subscriber?.close();
    this.#session?.close();
  }

  // look finds out whether media gets through. Without a connection to the node nothing can be said of it.
  #look() {
    const now = performance.now();
    let blocked = null;
    for (const [part, expected] of [[this.#publisher, this.canSend], [this.#subscriber, this.#subscriber.expects]]) {
      if (!expected || part.up || this.#away) this.#since.delete(part);
      else if (!this.#since.has(part)) this.#since.set(part, now);
      else if (now - this.#since.get(part) >= patience) blocked ??= part.target ?? this.blocked ?? { hosts: [new URL(this.#url).hostname], port: '3478' };
    }
    if (JSON.stringify(blocked) === JSON.stringify(this.blocked)) return;
    this.blocked = blocked;
    this.dispatchEvent(new Event('blocked'));
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

  #waits(a) {
    if (!this.#ours.has(a.id)) this.waiting.set(a.id, a);
  }

  #publishes(p) {
    if (this.#ours.has(p.id)) return;
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
    if (data.joining) this.#waits(data.joining);
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

  #sentAway(why) { this.dispatchEvent(new CustomEvent('away', { detail: why })); }

  #heard({ feed, text }) {
    // The label is the node's word for who speaks; nothing in the text is.
    const p = [...this.participants.values()].find(p => String(p.id) === feed);
    if (p) this.dispatchEvent(new CustomEvent('message', { detail: { from: feed, name: p.display, text } }));
  }
}
