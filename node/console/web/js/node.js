// The node's state, for those whom the node tells: the hosts of console.allowed and bearers of console.token.
import { make } from './dom.js';
import { bytes, milliseconds, percent, since } from './format.js';
import { meshView } from './mesh.js';

const every = 3_000;
const roomsShown = 50; // the fullest of the mesh

// Closed says that the node does not tell us. `token` says whether a token would help.
export class Closed extends Error {
  constructor(token) {
    super('the node tells its state to its operators only');
    this.token = token;
  }
}

async function get(path, token) {
  const reply = await fetch(path, { cache: 'no-store', headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (reply.status === 401 || reply.status === 403) throw new Closed(reply.status === 401);
  if (!reply.ok) throw new Error(`the node answers ${reply.status}`);
  return reply.json();
}

// nodes asks for the nodes of the mesh. The node's own state is shown without them, too.
async function nodes(token) {
  try {
    return (await get('api/v1/nodes', token)).nodes;
  } catch (err) {
    if (err instanceof Closed) throw err;
    return [];
  }
}

// allowed tells whether the node shows us its state: "yes", "token" when it would with one, or "no".
export async function allowed() {
  try {
    await get('api/v1/status');
    return 'yes';
  } catch (err) {
    return err instanceof Closed && err.token ? 'token' : 'no';
  }
}

// NodeView shows the state in an element while it runs.
export class NodeView {
  #element;
  #timer = 0;
  #token = '';

  constructor(element) { this.#element = element; }

  start() {
    this.stop();
    const tick = async () => {
      try {
        const [status, rooms, mesh] = await Promise.all([
          get('api/v1/status', this.#token), get(`api/v1/rooms?limit=${roomsShown}`, this.#token), nodes(this.#token),
        ]);
        if (this.#timer) this.#element.replaceChildren(...view(status, rooms.rooms, mesh));
      } catch (err) {
        if (!this.#timer) return;
        if (err instanceof Closed) return this.#ask(err.token && this.#token !== '');
        this.#element.replaceChildren(make('p', { class: 'state not' }, 'No answer'), make('p', {}, 'The node cannot be reached just now.'));
      }
      if (this.#timer) this.#timer = setTimeout(tick, every);
    };
    this.#timer = setTimeout(tick, 0);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #ask(wrong) {
    this.stop();
    const input = make('input', { type: 'password', autocomplete: 'off', required: true });
    const form = make('form', { class: 'group' },
      make('p', {}, wrong ? 'That is not the token.' : 'The node tells its state to bearers of its token (console.token).'),
      make('label', {}, 'Token', input), make('button', { class: 'primary' }, 'Show'));
    form.addEventListener('submit', e => {
      e.preventDefault();
      this.#token = input.value;
      this.start();
    });
    this.#element.replaceChildren(form);
  }
}

function view(s, rooms, mesh) {
  const count = (n, what) => make('div', { class: 'count' }, make('b', {}, n.toLocaleString()), make('span', {}, what));
  const facts = list => make('dl', { class: 'facts' }, ...list.flatMap(([k, v]) => [make('dt', {}, k), make('dd', {}, v)]));
  const group = (title, ...children) => make('section', { class: 'group' }, make('h3', {}, title), ...children);
  const meter = (what, share, text) => make('div', { class: 'meter' },
    make('span', {}, what, make('span', {}, text)), make('progress', { max: 1, value: share, 'aria-label': what }));
  const memory = s.memory.limit > 0 ? [meter('Memory', Math.min(1, s.memory.total / s.memory.limit),
    `${bytes(s.memory.total)} of ${bytes(s.memory.limit)}`)] : [];
  return [
    make('div', { class: 'group' },
      make('p', { class: s.ready ? 'state' : 'state not' }, s.ready ? 'Takes new calls' : 'Takes no new calls'),
      ...(s.reason ? [make('p', {}, s.reason)] : [])),
    make('div', { class: 'counts' }, count(s.sessions, 'sessions'), count(s.handles, 'handles'), count(s.connected, s.peers > s.connected ? `with media, ${s.peers - s.connected} connecting` : 'with media'),
      count(s.streams, 'streams'), count(s.rooms, 'rooms'), count(s.goroutines, 'goroutines')),
    make('div', { class: 'group' }, meter('Load, of the limit for new sessions', s.load.share, percent(s.load.share)), ...memory),
    group('Node', facts([
      ['Name', s.node], ...(s.region ? [['Region', s.region]] : []), ['Version', s.version], ['Up for', since(s.started)],
      ['CPU', percent(s.load.cpu)], ['Scheduling delay', milliseconds(s.load.latency_ms)],
    ])),
    ...(mesh.length > 0 ? [group('Mesh', ...meshView(mesh), make('a', { href: 'console/', class: 'more' }, 'All nodes and rooms'))] : []),
    group('Rooms', rooms.length === 0 ? make('p', {}, 'None.') : facts(rooms.map(r => [
      r.description, `${r.participants} in it, ${r.publishers}${r.partial ? '+' : ''} of ${r.max_publishers} sending`,
    ]))),
    group('Ports', facts(s.listeners.map(l => [l.option, `${l.address} ${l.network}${l.tls ? ' TLS' : ''}`]))),
  ];
}
