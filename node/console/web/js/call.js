// A call: one room of the node, what we send and what we receive there, kept alive over lost connections and restarts of
// the node. It knows nothing of the page's elements.
import { ConnectionError, JanusError } from './janus.js';
import { follow } from '../nearest.js';
import { Stay } from './stay.js';
import { after, cancel, pause } from './timers.js';

const codes = { draining: 472, forbidden: 403, noRoom: 426, missing: 429, unauthorized: 433 };
const retryEvery = 3_000; // to join again a room that we were in, milliseconds
const moveWithin = 8_000; // all must flow at another node, or we stay with what does
const answerWithin = 10_000; // a node that is asked what the page must know
const tellWithin = 1_000; // the former node who takes our place there
const linger = 3_000; // the former stay, while others turn to the new one

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
  const reply = await fetch('api/v1/page', { cache: 'no-store', signal: AbortSignal.timeout(answerWithin) });
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

// Call is being in a room: one stay after the other, each begun before the last one ends when the node asks us to move. Events:
//   change    who is there, or what they send, changed: see `participants`, `waiting` and `received`
//   state     see `state`: "joining", "joined", "reconnecting" or "ended"
//   blocked   media does not get through, or does again: see `blocked`
//   talking   detail { id, talking }
//   layers    the node sends another layer of something
//   message   detail { from, name, text }
//   full      we cannot send: others do already, as many as the room takes
//   kicked    we were sent away; the call has ended
//   trouble   nothing comes from the node, for now
export class Call extends EventTarget {
  state = 'joining';

  #page;
  #options; // room, secret, pin, relay
  #self; // display, metadata
  #stay = null;
  #next = null; // where we are moving
  #ours = new Set(); // our ids
  #at = null; // the node that we moved to: { url, name, probe, iceServers }; null for the one of this page
  #moved = null; // the same, of the latest such node
  #rejoining = false;
  #hurry = () => {}; // has rejoin wait no longer for what it waits for
  #tracks = { audio: null, camera: null, screen: null };
  #ended = false;
  #moves = new AbortController();

  constructor(page, options, self) {
    super();
    this.#page = page;
    this.#options = options;
    this.#self = self;
  }

  get participants() { return this.#stay?.participants ?? new Map(); } // those who publish: id to { id, display, metadata, streams, talking }
  get waiting() { return this.#stay?.waiting ?? new Map(); } // those who only watch: id to { id, display }
  get received() { return this.#stay?.received ?? new Map(); }
  get id() { return this.#stay?.id ?? null; } // ours
  get description() { return this.#stay?.description ?? ''; }
  get canSend() { return this.#stay?.canSend ?? false; }

  get blocked() { return this.#stay?.blocked ?? null; } // while media does not get through: where it should, { hosts, port }
  get elsewhere() { return this.#at?.name ?? ''; } // who serves us, when it is not the node of this page

  // handles are where the figures of the node that this page came from are found: { session, publisher, subscriber }, ids or null.
  get handles() {
    return (!this.#at && this.#stay?.handles) || { session: null, publisher: null, subscriber: null };
  }

  // mid is the media line on which we send audio, camera or screen, null when we do not.
  mid(what) { return this.#stay?.mid(what) ?? null; }

  // join enters the room, which it makes if need be, and begins to send and receive.
  async join() {
    try {
      await this.#enter();
    } catch (err) {
      this.#drop();
      throw explain(err, this.#page);
    }
    follow({
      node: () => ({ probe: this.#at?.probe ?? new URL('./probe', location).href }), room: this.#options.room, signal: this.#moves.signal,
      session: () => this.#stay?.handles.session, close: former => this.#closeLater(former), trouble: this,
      open: (found, gone) => (gone && this.#rejoining ? this.#rejoinAt(this.#place(found)) : this.#move(this.#place(found), gone)),
    });
  }

  // send sends a track, or none, as audio, camera or screen.
  send(what, track) {
    this.#tracks[what] = track;
    return Promise.all([this.#stay?.send(what, track), this.#next?.send(what, track)]);
  }

  // publish tries to send once more, when there was no place before.
  async publish() {
    try {
      await this.#stay.publish();
    } catch (err) {
      throw explain(err, this.#page);
    }
  }

  // tell changes what others know of us: { display, metadata }.
  async tell(self) {
    Object.assign(this.#self, self);
    if (this.state === 'joined') await this.#stay.tell(this.#self);
  }

  choose(line, substream) { return this.#stay.choose(line, substream); }
  say(text) { return this.#stay?.say(text) ?? false; }

  leave() {
    this.#ended = true;
    this.#moves.abort();
    this.#drop();
    this.#become('ended');
  }

  // stayAt makes a stay at a node that we moved to, or null for the one of this page.
  #stayAt(at) {
    const options = { ...this.#options, make: !this.#page.admin_key };
    return new Stay(at?.url ?? serverURL(this.#page), options, relays => this.#ice(relays, at), this.#ours);
  }

  // listen passes on what happens to a stay for as long as it is the one.
  #listen(stay) {
    const on = (type, f) => stay.addEventListener(type, e => { if (stay === this.#stay) f(e); });
    for (const type of ['change', 'layers', 'full', 'blocked', 'trouble']) on(type, () => this.dispatchEvent(new Event(type)));
    for (const type of ['talking', 'message']) on(type, ({ detail }) => this.dispatchEvent(new CustomEvent(type, { detail })));
    on('lost', () => {
      this.#become('reconnecting');
      this.dispatchEvent(new Event('trouble'));
    });
    on('back', () => this.#become('joined'));
    on('over', () => this.#rejoin());
    on('away', ({ detail }) => {
      this.leave();
      this.dispatchEvent(new CustomEvent('kicked', { detail }));
    });
  }

  async #enter() {
    const stay = this.#stay = this.#stayAt(this.#at);
    this.#listen(stay);
    await stay.enter(this.#self);
    await stay.publish(this.#tracks);
    this.#become('joined');
    await stay.tell(this.#self); // what changed on the way in
  }

  // place returns where the best of the nodes that follow found is, as #at has it.
  #place({ nodes }) {
    const socket = n => n.janus.find(s => s.startsWith('ws'));
    const node = nodes.find(socket);
    if (!node) throw new Error('no node with a WebSocket');
    const url = socket(node), here = new URL(url).host === new URL(serverURL(this.#page)).host;
    return here ? null : { url, name: node.name || new URL(url).hostname, probe: node.probe, iceServers: node.ice_servers ?? [] };
  }

  // move enters the room at another node, and leaves everything to the new stay when all flows there. Others are told who takes
  // our place. It returns the former stay. There is nobody to tell, and nothing to wait for, when its node is gone.
  async #move(at, gone) {
    const former = this.#stay;
    if (!former || this.state !== 'joined' && !gone) throw new Error('not now');
    const next = this.#next = this.#stayAt(at);
    const limit = after(2 * moveWithin, () => next.close()); // its node may die, too
    try {
      await next.enter(this.#self);
      former.forget(next.id);
      const successor = { ...this.#self, metadata: { ...this.#self.metadata, successor: next.id } };
      if (!gone) await Promise.race([former.tell(successor).catch(() => {}), pause(tellWithin)]); // it may just have gone
      await next.publish(this.#tracks);
      if (!gone) await until(() => next.flows(former), moveWithin);
    } catch (err) {
      next.close();
      throw err;
    } finally {
      cancel(limit);
      this.#next = null;
    }
    if (this.#ended || this.#stay !== former) {
      next.close();
      throw new Error('too late');
    }
    this.#listen(next);
    this.#stay = next;
    this.#at = this.#moved = at;
    this.#become('joined');
    for (const type of ['change', 'blocked']) this.dispatchEvent(new Event(type));
    next.tell(this.#self).catch(() => {});
    return former;
  }

  #closeLater(former) { after(linger, () => former?.close()); }

  // ice returns what a connection may use. Relays are for those for whom the direct way does not work.
  async #ice(relays, at) {
    const relayOnly = this.#options.relay;
    if (!relays && !relayOnly) return { servers: [], relayOnly };
    if (at) return { servers: at.iceServers, relayOnly }; // a relay leads to its own node only
    try {
      return { servers: (await fetchPage()).ice_servers ?? [], relayOnly }; // with fresh credentials
    } catch {
      return { servers: this.#page.ice_servers ?? [], relayOnly };
    }
  }

  // rejoin enters the room anew, as often as it takes: the session is gone, with the node's restart or after too long a
  // time without a network.
  async #rejoin() {
    if (this.#ended || this.#rejoining) return;
    this.#become('reconnecting');
    this.#drop();
    this.#rejoining = true;
    for (let wait = retryEvery / 3; !this.#ended; ) { // everybody else comes back just now, too
      await Promise.race([pause(wait * (0.7 + 0.6 * Math.random())), this.#hurried()]);
      if (this.#ended) return;
      const at = this.#at;
      try {
        if (!at) this.#page = await Promise.race([fetchPage(), this.#hurried().then(() => { throw new ConnectionError('there is a better node'); })]);
        await this.#enter();
        this.#rejoining = false;
        return;
      } catch (err) {
        this.#drop();
        wait = this.#at === at ? retryEvery : 0;
        if (!(err instanceof JanusError) && this.#at === at) this.#at = at ? null : this.#moved; // one of these may be there again
        console.warn('join again:', err);
        this.dispatchEvent(new Event('trouble'));
      }
    }
  }

  #hurried() { return new Promise(resolve => { this.#hurry = resolve; }); }

  // rejoinAt has rejoin go on at another node.
  async #rejoinAt(at) {
    this.#at = this.#moved = at;
    this.#hurry();
    this.#stay?.close(); // where it tries just now
    await until(() => this.state === 'joined', moveWithin);
    return null;
  }

  #drop() {
    this.#stay?.close();
    this.#next?.close();
    this.#stay = null;
    this.dispatchEvent(new Event('change'));
  }

  #become(state) {
    if (this.#ended) state = 'ended';
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}

// until waits until ok, but no longer than within milliseconds.
async function until(ok, within) {
  for (const end = performance.now() + within; !ok(); ) {
    if (performance.now() > end) throw new Error('it does not flow there');
    await pause(50);
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
