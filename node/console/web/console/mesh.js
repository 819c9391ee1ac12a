// The page of the mesh: figures of all, the map, the worst links or the chosen node, and the table of nodes.
import { $, make, write } from '../js/dom.js';
import { bits, count, milliseconds, percent, since } from '../js/format.js';
import * as api from './api.js';
import { MapView, legend, nameOf, shortName as short } from './map.js';
import { Table, sorter } from './table.js';
import { lossOf, ofDelay, ofLink, ofLoad, ofLoss, ofNode, words } from './verdict.js';

const most = 12; // links in the panel

const counted = (n, what) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

export class MeshPage {
  #operator;
  #map = new MapView($('map'));
  #table;
  #sort = { by: 'load', down: true };
  #overview = null;
  #chosen = []; // ids
  #by = 'loss';

  constructor(operator) {
    this.#operator = operator;
    this.#table = new Table($('nodes').tBodies[0], { key: f => f.node.id, make: () => this.#row() });
    sorter($('nodes'), this.#sort, () => this.#nodes());
    for (const input of document.querySelectorAll('input[name="by"]')) {
      input.addEventListener('change', () => {
        this.#by = input.value;
        this.#legend();
        this.#draw();
      });
    }
    $('idle').addEventListener('change', () => this.#draw());
    $('node-search').addEventListener('input', () => this.#nodes());
    $('zoom-in').addEventListener('click', () => this.#map.zoom(1.6));
    $('zoom-out').addEventListener('click', () => this.#map.zoom(1 / 1.6));
    $('zoom-fit').addEventListener('click', () => this.#map.fit());
    this.#map.addEventListener('choose', ({ detail }) => {
      if (detail.length === 1) {
        location.hash = this.#chosen[0] === detail[0] && this.#chosen.length === 1 ? '#/' : `#/node/${encodeURIComponent(detail[0])}`;
        return;
      }
      this.#chosen = detail;
      this.#panel();
    });
    this.#legend();
  }

  // choose shows a node in the panel; "" shows what is worst.
  choose(id) {
    this.#chosen = id ? [id] : [];
    this.#draw();
  }

  // show brings everything up to date.
  show(overview) {
    this.#overview = overview;
    this.#facts = facts(overview);
    this.#draw();
    this.#summary();
    this.#nodes();
  }

  #facts = [];
  #unplaced = 0; // nodes

  #draw() {
    if (!this.#overview) return;
    const { nodes, links } = this.#overview;
    const selected = this.#chosen.length === 1 ? this.#chosen[0] : '';
    this.#map.show({ nodes, links, by: this.#by, idle: $('idle').checked, selected });
    if (this.#map.unplaced !== this.#unplaced) {
      this.#unplaced = this.#map.unplaced;
      this.#legend();
    }
    this.#panel();
  }

  #legend() {
    const line = verdict => make('span', { class: `swatch ${verdict}` });
    $('legend').replaceChildren(
      ...legend[this.#by].map(([verdict, text]) => make('span', {}, line(verdict), text)),
      make('span', {}, make('span', { class: 'swatch idle' }), 'idle'),
      ...(this.#unplaced > 0 ? [make('span', {}, 'In the far south: nodes whose place is not known.')] : []));
  }

  #summary() {
    const { nodes, links, left_out: more = 0 } = this.#overview;
    const sum = of => nodes.reduce((n, node) => n + (node.figures?.[of] ?? 0), 0);
    const is = state => nodes.filter(n => ofNode(n) === state).length;
    const bad = links.filter(l => ofLink(l, 'loss') === 'bad').length, fair = links.filter(l => ofLink(l, 'loss') === 'fair').length;
    const loads = nodes.map(n => n.load).sort((a, b) => a - b);
    const rate = links.reduce((n, l) => n + l.rate, 0), used = links.filter(l => l.rate >= 1000).length;
    const versions = new Set(nodes.map(n => n.version)).size;
    const list = (...parts) => parts.filter(Boolean).join(', ');
    const tile = (value, what, note, verdict = '') => ({ value, what, note, verdict });
    const tiles = [
      tile(count(nodes.length), nodes.length === 1 ? 'node' : 'nodes', list(
        is('silent') && `${is('silent')} silent`, is('leaving') && `${is('leaving')} draining`, is('bad') && `${is('bad')} full`,
      ) || 'all ready', is('silent') || is('bad') ? 'bad' : is('leaving') ? 'fair' : 'good'),
      tile(count(links.length + more), links.length + more === 1 ? 'link' : 'links', list(bad && `${bad} bad`, fair && `${fair} fair`) || 'all good', bad ? 'bad' : fair ? 'fair' : 'good'),
      tile(bits(rate), 'between nodes', used === 1 ? '1 link in use' : `${used} links in use`),
      tile(count(sum('peers')), sum('peers') === 1 ? 'client' : 'clients', counted(sum('streams'), 'stream')),
      tile(percent(loads[loads.length >> 1] ?? 0), 'load, median', `highest ${percent(loads.at(-1) ?? 0)}`, ofLoad(loads.at(-1) ?? 0)),
      tile(count(versions), versions === 1 ? 'version' : 'versions', [...new Set(nodes.map(n => n.version))].sort().slice(-2).join(', ')),
    ];
    const box = $('summary');
    if (box.childElementCount !== tiles.length) {
      box.replaceChildren(...tiles.map(() => make('div', { class: 'tile' }, make('b'), make('span', { class: 'what' }), make('span', { class: 'note' }))));
    }
    tiles.forEach(({ value, what, note, verdict }, i) => {
      const [b, w, n] = box.children[i].children;
      write(b, value);
      write(w, what);
      write(n, note);
      n.className = `note ${verdict}`;
    });
  }

  #panel() {
    if (!this.#overview) return;
    const { nodes } = this.#overview;
    const chosen = this.#chosen.map(id => this.#facts.find(f => f.node.id === id)).filter(Boolean);
    const focus = $('panel').contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    if (chosen.length === 1) $('panel').replaceChildren(...this.#nodePanel(chosen[0]));
    else if (chosen.length > 1) {
      $('panel').replaceChildren(this.#head(`${chosen.length} nodes here`), make('ul', { class: 'links' }, ...chosen.map(({ node }) => make('li', {},
        make('a', { href: address(node.id) }, make('span', { class: `dot ${ofNode(node)}` }), make('span', { class: 'grow' }, short(node)),
          make('span', { class: 'figure' }, percent(node.load)))))));
    } else {
      const worst = [...this.#overview.links].filter(l => ofLink(l, this.#by) !== 'good').sort((a, b) => this.#weight(b) - this.#weight(a));
      $('panel').replaceChildren(make('h2', {}, this.#by === 'loss' ? 'Links that lose most' : 'Longest links'), worst.length === 0
        ? make('p', { class: 'soft empty' }, nodes.length === 1 ? 'This node is alone. “cardea token” prints an invitation for another.' : 'All links are good.')
        : make('ul', { class: 'links' }, ...worst.slice(0, most).map(l => this.#linkRow(l, null))),
      ...(worst.length > most ? [make('p', { class: 'soft' }, `and ${worst.length - most} more`)] : []));
    }
    if (focus) [...$('panel').querySelectorAll('a')].find(a => a.getAttribute('href') === focus)?.focus({ preventScroll: true });
  }

  #weight(link) { return (link.stalled ? 1e9 : 0) + (this.#by === 'delay' ? link.rtt_ms : lossOf(link)); }

  #head(text, ...more) {
    return make('div', { class: 'panel-head' }, make('h2', {}, text), ...more,
      make('a', { class: 'bare', href: '#/', 'aria-label': 'Close' }, closeIcon()));
  }

  // linkRow names both ends of a link, or the other one of a node's.
  #linkRow(link, from) {
    const { nodes } = this.#overview;
    const a = nodes[link.a], b = nodes[link.b];
    const other = from === null ? null : link.a === from ? b : a;
    const title = other ? [short(other)] : [short(a), make('span', { class: 'soft' }, ' – '), short(b)];
    return make('li', {}, make('a', { href: address(other ? other.id : a.id) },
      make('span', { class: `swatch ${ofLink(link, this.#by)}${link.rate < 1000 ? ' idle' : ''}` }),
      make('span', { class: 'grow' }, ...title, make('span', { class: 'notes' }, link.stalled ? 'silent just now' : link.rate >= 1000 ? bits(link.rate) : 'idle')),
      make('span', { class: `figure ${ofLoss(lossOf(link))}` }, percent(lossOf(link)), make('span', { class: 'notes' }, 'lost')),
      make('span', { class: `figure ${ofDelay(link.rtt_ms)}` }, milliseconds(link.rtt_ms), make('span', { class: 'notes' }, 'round trip'))));
  }

  #nodePanel({ node, index, links }) {
    const figures = node.figures ? [['Clients', node.figures.peers], ['Sessions', node.figures.sessions], ['Streams', node.figures.streams], ['Rooms', node.figures.rooms]] : [];
    const near = [...links].sort((a, b) => this.#weight(b) - this.#weight(a));
    return [
      this.#head(nameOf(node)),
      make('p', { class: 'soft' }, make('span', { class: `dot ${ofNode(node)}` }), ` ${stateOf(node)}${node.region ? ` · ${node.region}` : ''} · ${node.version}`),
      make('div', { class: 'counts' }, ...figures.map(([what, n]) => make('div', {}, make('b', {}, count(n)), make('span', {}, what)))),
      make('dl', { class: 'facts' }, ...[
        ['Load', percent(node.load)], ['Roles', node.planes.join(', ')], ...(node.rtt_ms !== undefined ? [['Round trip from here', milliseconds(node.rtt_ms)]] : []),
        ['Up for', since(node.started)], ...(node.addresses?.length ? [['Address', node.addresses[0]]] : []), ...leavingFacts(node), ['Id', node.id],
      ].flatMap(([k, v]) => [make('dt', {}, k), make('dd', {}, v)])),
      make('h3', {}, near.length === 0 ? 'No links' : near.length === 1 ? '1 link' : `${near.length} links`),
      make('ul', { class: 'links' }, ...near.slice(0, 40).map(l => this.#linkRow(l, index))),
    ];
  }

  #nodes() {
    const sought = $('node-search').value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#facts.filter(f => sought.every(word => f.text.includes(word)));
    const { by, down } = this.#sort;
    const value = f => f.sort[by];
    found.sort((a, b) => {
      const x = value(a), y = value(b);
      const order = typeof x === 'string' ? alphabet.compare(x, y) : x - y;
      return (down ? -order : order) || a.index - b.index;
    });
    write($('node-count'), found.length === this.#facts.length ? `${found.length}` : `${found.length} of ${this.#facts.length}`);
    this.#table.show(found);
  }

  #row() {
    const cell = (className, label, ...children) => make('td', { class: className, 'data-label': label }, ...children);
    const link = make('a', {}), notes = make('span', { class: 'notes' });
    const dot = make('span'), state = make('span'), leaving = make('span', { class: 'notes' });
    const meter = make('meter', { min: 0, max: 1, low: 0.7, high: 0.9, optimum: 0 }), load = make('span', { class: 'figure' });
    const peers = cell('number', 'Clients'), streams = cell('number', 'Streams'), links = cell('number', 'Links'), loss = cell('number', 'Worst loss');
    const rtt = cell('number', 'From here'), up = cell('number', 'Up for');
    const button = make('button', { type: 'button', class: 'small' });
    const element = make('tr', {}, make('th', { scope: 'row' }, link, notes), cell('state', 'State', dot, state, leaving), cell('load', 'Load', meter, load),
      peers, streams, links, loss, rtt, up, make('td', { class: 'act' }, button));
    let node = null;
    button.addEventListener('click', () => this.#drain(node));
    return {
      element,
      show: f => {
        ({ node } = f);
        write(link, nameOf(node));
        set(link, 'href', address(node.id));
        write(notes, [node.self && 'this node', node.region, node.version].filter(Boolean).join(' · '));
        set(dot, 'class', `dot ${ofNode(node)}`);
        write(state, stateOf(node));
        write(leaving, node.figures?.leaving ? `waits for ${waitingOf(node.figures.leaving)}` : '');
        if (meter.value !== node.load) meter.value = node.load;
        set(meter, 'aria-label', `Load of ${nameOf(node)}`);
        write(load, percent(node.load));
        write(peers, node.figures ? count(node.figures.peers) : '–');
        write(streams, node.figures ? count(node.figures.streams) : '–');
        write(links, `${f.links.length}`);
        write(loss, f.links.length > 0 ? percent(f.loss) : '–');
        set(loss, 'class', `number ${f.links.length > 0 ? ofLoss(f.loss) : ''}`);
        write(rtt, node.rtt_ms === undefined ? '–' : milliseconds(node.rtt_ms));
        write(up, since(node.started));
        button.hidden = !this.#operator.drain;
        write(button, node.state === 'draining' ? 'Take back' : 'Drain');
        set(button, 'aria-label', `${node.state === 'draining' ? 'Take back' : 'Drain'} ${nameOf(node)}`);
        set(element, 'class', this.#chosen.includes(node.id) ? 'chosen' : '');
      },
    };
  }

  #drain(node) {
    const undo = node.state === 'draining', name = nameOf(node);
    this.#operator.confirm(undo ? {
      title: `Take ${name} back?`, text: 'It takes new clients again.', label: 'Take back',
      act: () => api.drain(node.id, true), done: `${name} takes new clients again.`,
    } : {
      title: `Drain ${name}?`, label: 'Drain',
      text: `It takes no new clients, hands its rooms and routes over, and its ${node.figures ? counted(node.figures.peers, 'client') : 'clients'} move to other nodes. When the last has left, or at the deadline (node.drain_timeout), it ends.`,
      act: () => api.drain(node.id, false), done: `${name} drains.`,
    });
  }
}

// facts gathers what is said of each node, once for each overview.
function facts({ nodes, links }) {
  const all = nodes.map((node, index) => ({ node, index, links: [], loss: 0 }));
  for (const link of links) {
    for (const end of [link.a, link.b]) {
      all[end].links.push(link);
      all[end].loss = Math.max(all[end].loss, lossOf(link));
    }
  }
  for (const f of all) {
    const { node } = f;
    f.text = [node.name, node.id, node.region, node.version, stateOf(node), node.self ? 'this node' : ''].join(' ').toLowerCase();
    f.sort = {
      name: nameOf(node), state: stateOf(node), load: node.load, peers: node.figures?.peers ?? -1, streams: node.figures?.streams ?? -1,
      links: f.links.length, loss: f.links.length > 0 ? f.loss : -1, rtt: node.rtt_ms ?? -1, started: -new Date(node.started).getTime(),
    };
  }
  return all;
}

const alphabet = new Intl.Collator(undefined, { numeric: true }); // node-2 comes before node-10
const address = id => `#/node/${encodeURIComponent(id)}`;

// stateOf is the node's own word where there is one, else ours.
function stateOf(node) {
  const verdict = ofNode(node);
  return verdict === 'leaving' ? node.state : words[verdict];
}

// waitingOf says what a draining node waits for.
function waitingOf({ waiting }) {
  const some = (n, one, many) => n > 0 && `${count(n)} ${n === 1 ? one : many}`;
  return [
    some(waiting.clients, 'client', 'clients'), some(waiting.relays, 'TURN relay', 'TURN relays'),
    some(waiting.streams, 'stream for another node', 'streams for other nodes'), some(waiting.records, 'room to hand over', 'rooms to hand over'),
  ].filter(Boolean).join(', ') || 'nobody';
}

// leavingFacts are what the panel says of a draining node.
function leavingFacts({ figures }) {
  if (!figures?.leaving) return [];
  return [['Waits for', waitingOf(figures.leaving)], ['Ends at the latest', new Date(figures.leaving.until).toLocaleTimeString()]];
}

function closeIcon() {
  return document.querySelector('#notice-close svg').cloneNode(true);
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
