// What the node sees of our own connections: /api/v1/peers, which answers to who knows the session's id.
import { bits, codec, milliseconds, percent } from './format.js';

const every = 2_000;
const layerNames = ['l', 'm', 'h'];

// Poll asks for the figures of a call's two connections while it runs. After each answer it calls back with
// { publisher, subscriber }, each what the API answers or null.
export class Poll {
  #handles;
  #call;
  #timer = 0;
  #running = true;
  #before = new Map(); // counters at the last answer, by connection, mid and direction

  constructor(handles, call) {
    this.#handles = handles;
    this.#call = call;
    this.soon();
  }

  // soon asks a moment from now instead of later: something has changed.
  soon() {
    if (this.#running) this.#schedule(500);
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  #schedule(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), ms);
  }

  async #tick() {
    this.#schedule(every);
    const { session, publisher, subscriber } = this.#handles();
    if (document.visibilityState !== 'visible') return;
    if (!session) return this.#call({ publisher: null, subscriber: null }); // what was shown is no longer true
    const [p, s] = await Promise.all([this.#ask(session, publisher), this.#ask(session, subscriber)]);
    if (this.#running) this.#call({ publisher: p, subscriber: s });
  }

  async #ask(session, handle) {
    if (!handle) return null;
    try {
      const reply = await fetch(`api/v1/peers/${session}/${handle}`, { cache: 'no-store' });
      if (!reply.ok) return null;
      const peer = await reply.json();
      for (const line of peer.lines) line.loss = this.#loss(`${handle}/${line.mid}/${line.direction}`, line);
      return peer;
    } catch {
      return null; // the node is away: the call says so
    }
  }

  // loss is the share of packets lost since the last answer.
  #loss(key, { packets, lost }) {
    const before = this.#before.get(key) ?? { packets: 0, lost: 0 };
    this.#before.set(key, { packets, lost });
    const gone = Math.max(0, lost - before.lost), came = Math.max(0, packets - before.packets);
    return gone + came > 0 ? gone / (gone + came) : 0;
  }
}

const rate = line => line.layers.reduce((sum, l) => sum + l.bitrate, 0);

// describe makes what is written beside a stream of its lines: [{ label, value, unit, title, more, needed, bad }], where `more`
// is left out first when there is no room, and `needed` is left in. sending says that the node sends them to us; rtt is in milliseconds, 0 if not known.
export function describe({ video, audio, sending, rtt }) {
  const figures = [];
  const add = (text, title, options = {}) => {
    const [, value, unit = ''] = /^(\S+)(?: (\S+))?$/.exec(text);
    figures.push({ value, unit, title, ...options });
  };
  const way = sending ? 'from the node to you' : 'from you to the node';
  if (video?.codec) {
    const layers = video.layers.filter(l => l.bitrate > 0).sort((a, b) => b.substream - a.substream);
    add(codec(video.codec), 'Video codec');
    if (video.width && video.height) add(`${video.width}×${video.height}`, 'Size of the picture', { more: true });
    add(bits(rate(video)), `Video ${way}`, { needed: true });
    if (!sending && layers.length > 1) {
      const kilobits = layers.map(l => Math.round(l.bitrate / 1000)).join('/');
      add(`${kilobits} kbit/s`, `Each simulcast layer ${way}`, { label: layers.map(l => l.rid || layerNames[l.substream]).join('/'), more: true });
    }
    const [layer] = video.layers;
    if (sending && layer?.substream >= 0) add(layerNames[layer.substream], 'Simulcast layer that the node sends you', { label: 'layer', needed: true });
    else if (sending && layer?.spatial > 0) add(`S${layer.spatial}`, 'Spatial layer that the node sends you', { label: 'layer' });
    const fps = Math.max(0, ...layers.map(l => l.rate));
    if (fps > 0) add(`${Math.round(fps)} fps`, 'Pictures a second', { more: true });
  }
  if (audio?.codec) {
    add(bits(rate(audio)), `Audio ${way}`, { label: codec(audio.codec), more: Boolean(video?.codec), needed: !video?.codec });
  }
  const line = video?.codec ? video : audio;
  if (line?.codec) {
    add(percent(line.loss), `Packets lost ${way}, in the last seconds`, { label: 'lost', needed: true, bad: line.loss >= 0.02 });
    if (rtt > 0) add(milliseconds(rtt), 'Round trip between you and the node', { label: 'RTT' });
  }
  return figures;
}
