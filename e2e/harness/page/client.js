// An application as people write them with janus.js: one session, some handles by name. Tests drive it from outside, so
// whatever goes in or comes out of its methods is plain data.
import Janus from '/janus.js';
import { Sinks, everything, inbound, outbound, path } from '/media.js';

// matches says whether a message has all that pattern has.
const matches = (message, pattern) => Object.entries(pattern).every(([key, value]) =>
  value !== null && typeof value === 'object' ? message[key] && matches(message[key], value) : message[key] === value);

class Handle {
  messages = [];     // every event of the plugin, with `at`, the page's clock
  notices = [];      // what the core says: webrtcup, media, slowlink, hangup, detached
  received = [];     // data channel messages: {label, text}
  opened = [];       // labels of open data channels
  sinks = new Sinks();
  up = Promise.withResolvers(); // settled by the core's webrtcup
  waiting = [];      // {pattern, resolve, reject}

  get pc() { return this.plugin.webrtcStuff.pc; }

  // next gives the first message from number `from` on that matches.
  next(pattern, from) {
    const there = this.messages.slice(from).find(message => matches(message, pattern));
    if (there) return Promise.resolve(there);
    return new Promise((resolve, reject) => this.waiting.push({ pattern, resolve, reject }));
  }

  took(message, jsep) {
    message = { ...message, at: performance.now() };
    if (jsep) message.jsep = jsep;
    this.messages.push(message);
    this.waiting = this.waiting.filter(({ pattern, resolve, reject }) => {
      if (message.error_code) reject(new Error(`${message.error_code}: ${message.error}`));
      else if (matches(message, pattern)) resolve(message);
      else return true;
      return false;
    });
  }
}

export class Client {
  handles = {};

  // connect opens a session; options are those of janus.js.
  async connect(options) {
    await new Promise(resolve => Janus.init({ debug: ['warn', 'error'], callback: resolve }));
    await new Promise((resolve, reject) => {
      this.janus = new Janus({
        iceServers: [],
        destroyOnUnload: false,
        ...options,
        success: resolve,
        error: err => { this.lost = String(err); reject(new Error(this.lost)); },
        destroyed: () => { this.destroyed = true; },
      });
    });
  }

  // nearest asks the module that a node serves for the best node.
  async nearest(module, options) {
    const { nearest } = await import(module);
    const began = performance.now();
    return { ...await nearest(options), took: performance.now() - began };
  }

  sessionId() { return this.janus.getSessionId(); }
  lostBecause() { return this.lost ?? null; }

  // reconnect claims the session on a new connection, as janus.js does.
  reconnect() {
    return new Promise((resolve, reject) => this.janus.reconnect({ success: resolve, error: err => reject(new Error(err)) }));
  }

  destroy() {
    return new Promise((resolve, reject) => this.janus.destroy({ success: resolve, error: err => reject(new Error(err)) }));
  }

  attach(name, plugin = 'janus.plugin.videoroom') {
    const handle = this.handles[name] = new Handle();
    const note = kind => (...args) => handle.notices.push([kind, ...args.map(a => a ?? null)]);
    return new Promise((resolve, reject) => this.janus.attach({
      plugin,
      success: attached => { handle.plugin = attached; resolve(attached.getId()); },
      error: err => reject(new Error(err)),
      onmessage: (message, jsep) => {
        handle.took(message, jsep);
        if (jsep?.type === 'offer') this.#answer(handle, jsep).catch(err => console.error('answer', err));
      },
      onremotetrack: (track, mid, on) => { if (on) handle.sinks.play(mid, track); },
      ondataopen: label => handle.opened.push(label),
      ondata: (text, label) => handle.received.push({ label, text }),
      webrtcState: on => {
        note('webrtc')(on);
        if (on) handle.up.resolve();
      },
      mediaState: note('media'),
      slowLink: note('slowlink'),
      iceState: note('ice'),
      detached: note('detached'),
      oncleanup: note('cleanup'),
    }));
  }

  detach(name) {
    return new Promise((resolve, reject) => this.handles[name].plugin.detach({ success: resolve, error: err => reject(new Error(err)) }));
  }

  // request sends a message and gives the answer: the immediate one, or the first event from then on that has what
  // `until` has. An error of the plugin's rejects.
  async request(name, message, until = {}, jsep) {
    const handle = this.handles[name];
    const event = handle.next(until, handle.messages.length);
    event.catch(() => {});
    const reply = await new Promise((resolve, reject) =>
      handle.plugin.send({ message, jsep, success: resolve, error: err => reject(new Error(err)) }));
    if (!reply) return event;
    if (reply.error_code) throw new Error(`${reply.error_code}: ${reply.error}`);
    return reply;
  }

  // publish joins a room on the handle `pub` and sends the tracks (janus.js's descriptions of tracks). It ends when the
  // node has announced them to the room.
  async publish(room, { tracks, join = {}, configure = {} } = {}) {
    await this.attach('pub');
    const joined = await this.request('pub', { request: 'join', ptype: 'publisher', room, ...join }, { videoroom: 'joined' });
    await this.offer('pub', tracks, { request: 'publish', ...configure });
    await this.handles.pub.up.promise;
    return joined;
  }

  // offer makes an offer with the changed tracks, sends it with the message, and ends when its answer is in place. The
  // answer of the node is its result.
  async offer(name, tracks = this.camera(), message = { request: 'configure' }, options = {}) {
    const handle = this.handles[name];
    const jsep = await new Promise((resolve, reject) => handle.plugin.createOffer({
      tracks, ...options, success: resolve, error: reject,
      customizeSdp: jsep => { if (this.rewrite) jsep.sdp = jsep.sdp.replaceAll(...this.rewrite); },
    }));
    const answer = await this.request(name, message, { jsep: { type: 'answer' } }, jsep);
    await new Promise((resolve, reject) => handle.plugin.handleRemoteJsep({ jsep: this.#reachable(answer.jsep), success: resolve, error: reject }));
    return answer;
  }

  encodes(mimeType) {
    const [kind] = mimeType.split('/');
    return RTCRtpSender.getCapabilities(kind).codecs.some(codec => codec.mimeType === mimeType);
  }

  // silence makes the microphone on a mid send digital silence.
  silence(name, mid) {
    this.handles[name].pc.getTransceivers().find(t => t.mid === mid).sender.track.enabled = false;
  }

  // rewriteOffers replaces text in every offer made from then on, as applications do for what the browser has no call for.
  rewriteOffers(what, by) { this.rewrite = [what, by]; }

  // camera describes the tracks of a call: microphone, camera, chat.
  camera(width = 640, height = 480, frameRate = 20) {
    return [
      { type: 'audio', capture: true },
      { type: 'video', capture: { width: { exact: width }, height: { exact: height }, frameRate: { max: frameRate } } },
      { type: 'data' },
    ];
  }

  // animate gives the page something that moves, for a screen capture to see.
  animate() {
    const box = document.body.appendChild(document.createElement('h1'));
    setInterval(() => { box.textContent = `time ${performance.now()}`; }, 50);
  }

  // watch subscribes on a handle of its own and answers every offer that comes to it from then on.
  async watch(name, room, streams, join = {}) {
    await this.attach(name);
    return this.request(name, { request: 'join', ptype: 'subscriber', room, streams, ...join }, { videoroom: 'attached' });
  }

  // onlyCandidates makes the client see the node's candidates of one protocol alone, as a firewall would.
  onlyCandidates(protocol) { this.protocol = protocol; }

  // withoutFeedback makes the client see no offer of transport-wide feedback, as one that does not know it.
  withoutFeedback() { this.plain = true; }

  #reachable(jsep) {
    const candidate = /^a=candidate:\S+ \d+ (\S+) /, feedback = /transport-(wide-)?cc/;
    const seen = line => !(this.protocol && candidate.test(line) && candidate.exec(line)[1].toLowerCase() !== this.protocol)
      && !(this.plain && feedback.test(line));
    return { ...jsep, sdp: jsep.sdp.split('\r\n').filter(seen).join('\r\n') };
  }

  async #answer(handle, jsep) {
    jsep = this.#reachable(jsep);
    const answer = await new Promise((resolve, reject) => handle.plugin.createAnswer({
      jsep, tracks: [{ type: 'data' }], success: resolve, error: reject,
    }));
    const room = handle.messages.find(message => message.room)?.room;
    handle.startedAt ??= performance.now();
    handle.plugin.send({ message: { request: 'start', room }, jsep: answer });
  }

  say(name, text) {
    return new Promise((resolve, reject) => this.handles[name].plugin.data({ text, success: resolve, error: err => reject(new Error(err)) }));
  }

  // messages gives those that match, from number `since` on; count is the number of the next.
  messages(name, pattern = {}, since = 0) {
    return this.handles[name].messages.slice(since).filter(message => matches(message, pattern));
  }

  count(name) { return this.handles[name].messages.length; }
  received(name) { return this.handles[name].received; }
  opened(name) { return this.handles[name].opened; }
  notices(name) { return this.handles[name].notices; }

  inbound(name, mid) { return inbound(this.handles[name].pc, mid); }
  outbound(name, mid) { return outbound(this.handles[name].pc, mid); }
  path(name) { return path(this.handles[name].pc); }
  picture(name, mid) { return this.handles[name].sinks.picture(mid); }
  // reportQuality has the browser report what it sees on a handle, by the module that a node serves.
  async reportQuality(name, module, every) {
    const { watch } = await import(module);
    const { plugin, pc, startedAt: since } = this.handles[name];
    watch(pc, message => plugin.send({ message }), { every, since });
  }

  // startedAt says when the first answer to the node's offers left, on the page's clock in milliseconds.
  startedAt(name) { return this.handles[name].startedAt ?? null; }
  handleId(name) { return this.handles[name].plugin.getId(); }
  firstFrame(name, mid) { return this.handles[name].sinks.firstFrame(mid) ?? null; }
  state(name) { return this.handles[name].pc?.connectionState ?? 'none'; }
  descriptions(name) {
    const { localDescription: local, remoteDescription: remote } = this.handles[name].pc;
    return { local: local.sdp, remote: remote.sdp };
  }
  directions(name) {
    return Object.fromEntries(this.handles[name].pc.getTransceivers().map(t => [t.mid, t.currentDirection]));
  }

  // record is all there is to know of the client, for the folder of a failed test.
  async record() {
    const record = { lost: this.lost, handles: {} };
    for (const [name, handle] of Object.entries(this.handles)) {
      const { pc } = handle;
      record.handles[name] = {
        messages: handle.messages, notices: handle.notices, received: handle.received,
        connection: pc?.connectionState, ice: pc?.iceConnectionState,
        local: pc?.localDescription?.sdp.split('\r\n'), remote: pc?.remoteDescription?.sdp.split('\r\n'),
        stats: pc ? await everything(pc) : [],
      };
    }
    return record;
  }
}
