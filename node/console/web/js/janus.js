// The Janus API over a WebSocket: a session that outlives its connection, its handles, their requests and events.
import { after, cancel, pause } from './timers.js';

const keepaliveEvery = 25_000; // milliseconds, or a third of the silence after which the node ends a session, if that is less
const answerWithin = 15_000;
const lifeSignWithin = 8_000; // a keepalive that takes longer means that the connection is dead
const firstPause = 300, longestPause = 4_000; // between attempts to connect, milliseconds

// JanusError is a refusal: by the core (its code and reason) or by a plugin (error_code and error).
export class JanusError extends Error {
  constructor(code, reason) {
    super(reason);
    this.name = 'JanusError';
    this.code = code;
  }
}

// ConnectionError says that the node could not be reached or did not answer.
export class ConnectionError extends Error {
  constructor(message) {
    super(message);
    this.name = 'ConnectionError';
  }
}

// Session is one session. Events:
//   lost  the connection broke; it is being re-established, and what is requested meanwhile waits
//   back  it is there again, and so is the session (claimed): nothing was missed
//   over  the session is gone: only a new one helps
export class Session extends EventTarget {
  #url;
  #secret;
  #id = 0;
  #socket = null;
  #opening = null; // a socket that is not open yet
  #closed = false;
  #recovering = false;
  #usable = null; // a promise of a connection that owns the session
  #pending = new Map(); // transaction to { resolve, reject, timer, message }
  #handles = new Map();
  #serial = 0;
  #keepalive = 0; // a timer
  #probe = () => { if (document.visibilityState === 'visible') this.#prove(); };

  constructor({ url, secret }) {
    super();
    this.#url = url;
    this.#secret = secret;
  }

  get id() { return this.#id; }

  // open connects and creates the session.
  async open() {
    this.#socket = await this.#connect();
    this.#usable = Promise.resolve();
    const reply = await this.#send({ janus: 'create' });
    this.#id = reply.data.id;
    this.#silence().then(ms => this.#keep(Math.min(keepaliveEvery, ms / 3)));
    addEventListener('online', this.#probe);
    document.addEventListener('visibilitychange', this.#probe);
  }

  // silence asks after how many milliseconds without a request the node ends a session.
  async #silence() {
    try {
      const { 'session-timeout': seconds } = await this.#send({ janus: 'info' });
      return seconds > 0 ? 1000 * seconds : Infinity;
    } catch {
      return Infinity;
    }
  }

  // keep proves from now on, every so many milliseconds, that we are here.
  #keep(every) {
    if (this.#closed) return;
    this.#keepalive = after(every, () => {
      this.#prove();
      this.#keep(every);
    });
  }

  // attach makes a handle to a plugin.
  async attach(plugin) {
    const reply = await this.request({ janus: 'attach', plugin });
    const handle = new Handle(this, reply.data.id);
    this.#handles.set(handle.id, handle);
    return handle;
  }

  // request sends a request of the session and returns its reply. A message to a plugin is replied to by its event.
  async request(message) {
    await this.#usable;
    if (this.#closed) throw new ConnectionError('the session is closed');
    return this.#send({ session_id: this.#id, ...message });
  }

  // close destroys the session, without waiting for anything: the page may be going away.
  close() {
    if (this.#closed) return;
    if (this.#id && this.#socket?.readyState === WebSocket.OPEN) {
      this.#write({ janus: 'destroy', session_id: this.#id, transaction: 'bye' });
    }
    this.#end();
  }

  forget(handle) { this.#handles.delete(handle.id); }

  #end() {
    this.#closed = true;
    cancel(this.#keepalive);
    removeEventListener('online', this.#probe);
    document.removeEventListener('visibilitychange', this.#probe);
    this.#socket?.close();
    this.#opening?.close();
    for (const p of this.#pending.values()) {
      cancel(p.timer);
      p.reject(new ConnectionError('the session is closed'));
    }
    this.#pending.clear();
  }

  #connect() {
    return new Promise((resolve, reject) => {
      const socket = this.#opening = new WebSocket(this.#url, 'janus-protocol');
      const timer = after(answerWithin, () => socket.close());
      socket.onopen = () => {
        cancel(timer);
        resolve(socket);
      };
      socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
      socket.onclose = () => {
        cancel(timer);
        reject(new ConnectionError('the node cannot be reached'));
        if (socket === this.#socket) this.#broken();
      };
    });
  }

  // broken gives up what only the connection could have answered. What was asked of a plugin may still be: events wait for
  // the session to be claimed.
  #broken() {
    for (const [transaction, p] of this.#pending) {
      if (!['create', 'claim', 'info', 'keepalive'].includes(p.message.janus)) continue;
      cancel(p.timer);
      this.#pending.delete(transaction);
      p.reject(new ConnectionError('the connection to the node broke'));
    }
    if (this.#id && !this.#closed && !this.#recovering) this.#recover();
  }

  // recover connects again, as often as it takes, and claims the session.
  #recover() {
    this.#recovering = true;
    this.#usable = (async () => {
      this.dispatchEvent(new Event('lost'));
      for (let wait = firstPause; !this.#closed; wait = Math.min(wait * 1.7, longestPause)) {
        await pause(wait * (0.7 + 0.6 * Math.random()));
        if (this.#closed) return;
        try {
          this.#socket = null;
          const socket = await this.#connect();
          this.#socket = socket;
          await this.#send({ janus: 'claim', session_id: this.#id });
          this.#recovering = false;
          this.dispatchEvent(new Event('back'));
          return;
        } catch (err) {
          if (err instanceof JanusError) return this.#over();
          this.#socket?.close();
        }
      }
    })();
  }

  #over() {
    if (this.#closed) return;
    this.#end();
    this.dispatchEvent(new Event('over'));
  }

  // prove asks for a sign of life, and gives up the connection when there is none.
  async #prove() {
    const socket = this.#socket;
    if (this.#closed || socket?.readyState !== WebSocket.OPEN) return;
    try {
      await this.#send({ janus: 'keepalive', session_id: this.#id }, lifeSignWithin);
    } catch (err) {
      if (err instanceof JanusError) this.#over();
      else if (socket === this.#socket) {
        socket.onclose(); // close() alone waits for a peer that does not answer
        socket.onclose = socket.onmessage = null;
        socket.close();
      }
    }
  }

  #send(message, within = answerWithin) {
    return new Promise((resolve, reject) => {
      const transaction = `${++this.#serial}`;
      const timer = after(within, () => {
        this.#pending.delete(transaction);
        reject(new ConnectionError('the node does not answer'));
      });
      this.#pending.set(transaction, { resolve, reject, timer, message });
      this.#write({ ...message, transaction });
    });
  }

  #write(message) {
    const socket = this.#socket;
    // A secret is either the API's or a token of the client's own: the node knows which.
    const secret = this.#secret ? { apisecret: this.#secret, token: this.#secret } : {};
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ...message, ...secret }));
  }

  #receive(m) {
    const p = this.#pending.get(m.transaction);
    if (p && !(m.janus === 'ack' && p.message.janus === 'message')) { // the reply to a message comes after its ack
      cancel(p.timer);
      this.#pending.delete(m.transaction);
      if (m.janus === 'error') p.reject(new JanusError(m.error.code, m.error.reason));
      else p.resolve(m);
      return;
    }
    if (m.janus === 'timeout') return this.#over();
    this.#handles.get(m.sender)?.receive(m);
  }
}

// Handle is an attachment to a plugin. Events, with what came in `detail`:
//   event  of the plugin: { data, jsep }
//   webrtcup, media, slowlink, hangup, detached  of the core: the whole message
export class Handle extends EventTarget {
  constructor(session, id) {
    super();
    this.session = session;
    this.id = id;
  }

  // message sends a request to the plugin and returns its reply: { data, jsep }.
  async message(body, jsep) {
    const reply = await this.session.request({ janus: 'message', handle_id: this.id, body, ...(jsep && { jsep }) });
    const data = reply.plugindata?.data ?? {};
    if (data.error_code) throw new JanusError(data.error_code, data.error);
    return { data, jsep: reply.jsep };
  }

  // trickle passes an ICE candidate on, null for the end of them.
  trickle(candidate) {
    return this.session.request({ janus: 'trickle', handle_id: this.id, candidate: candidate ?? { completed: true } });
  }

  // detach gives the handle back.
  async detach() {
    await this.session.request({ janus: 'detach', handle_id: this.id });
    this.session.forget(this);
  }

  receive(m) {
    const detail = m.janus === 'event' ? { data: m.plugindata?.data ?? {}, jsep: m.jsep } : m;
    this.dispatchEvent(new CustomEvent(m.janus, { detail }));
    if (m.janus === 'detached') this.session.forget(this);
  }
}
