// The page of one room: who is in it, how it goes for them, and the ways that its streams take.
import { $, make, write } from '../js/dom.js';
import { bits, codec, count, milliseconds, percent, since } from '../js/format.js';
import * as api from './api.js';
import { MapView, shortName } from './map.js';
import { Pager } from './pager.js';
import { Poll } from './poll.js';
import { spark } from './svg.js';
import { Table } from './table.js';
import { atLeast, ofClientDelay, ofFrozen, ofLoss, ofMOS } from './verdict.js';

const every = 5_000;
const size = 50;
const typing = 250;
const routesShown = 40;

export class RoomPage {
  #operator;
  #failed;
  #map = new MapView($('room-map'));
  #poll = null;
  #pager;
  #table;
  #which = null; // { plugin, room }
  #view = null;
  #overview = null;
  #names = new Map();

  constructor(operator, failed) {
    this.#operator = operator;
    this.#failed = failed;
    this.#pager = new Pager('people', size, () => this.#poll?.soon());
    this.#table = new Table($('people').tBodies[0], { key: p => p.id, make: () => this.#row() });
    this.#map.addEventListener('choose', ({ detail }) => {
      if (detail.length === 1) location.hash = `#/node/${encodeURIComponent(detail[0])}`;
    });
    operator.addEventListener('change', () => this.#people());
    operator.addEventListener('done', () => this.#poll?.soon());
    let timer = 0;
    $('people-search').addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.#pager.offset = 0;
        this.#poll?.soon();
      }, typing);
    });
  }

  open(plugin, room) {
    if (this.#which?.plugin === plugin && this.#which.room === room && this.#poll) return;
    this.close();
    this.#which = { plugin, room };
    this.#pager.offset = 0;
    $('people-search').value = '';
    write($('room-title'), `Room ${room}`);
    this.#empty();
    this.#poll = new Poll(signal => this.#load(signal), every);
  }

  // empty shows nothing of any room.
  #empty() {
    this.#view = null;
    for (const id of ['room-facts', 'people-count']) write($(id), '');
    $('room-silent').hidden = true;
    $('routes').replaceChildren();
    this.#table.show([]);
    this.#pager.show(0, 0);
    this.#map.show({ nodes: this.#overview?.nodes ?? [], links: [], routes: [], only: new Set() });
  }

  close() {
    this.#poll?.stop();
    this.#poll = null;
  }

  // nodes brings where nodes are and what they are called.
  nodes(overview) {
    const first = !this.#overview;
    this.#overview = overview;
    this.#names = new Map(overview.nodes.map(n => [n.id, shortName(n)]));
    this.#ways();
    if (first) this.#show();
  }

  async #load(signal) {
    try {
      const view = await api.room({
        ...this.#which, search: $('people-search').value.trim(), offset: this.#pager.offset, limit: size,
      }, signal);
      if (!this.#pager.show(view.participants.length, view.matched)) return this.#poll?.soon();
      this.#view = view;
      this.#show();
    } catch (err) {
      if (err.status !== 404) return this.#failed(err);
      this.#empty();
      write($('room-facts'), 'There is no such room any more.');
    }
  }

  #show() {
    if (!this.#view) return;
    const { room, silent = [], matched } = this.#view;
    write($('room-title'), room.description || `Room ${room.room}`);
    const some = (n, what) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;
    write($('room-facts'), [
      room.room, some(room.participants, 'participant'), `${atLeast(room.publishers, room.partial)} of at most ${some(room.max_publishers, 'publisher')}`,
      `${atLeast(room.subscribers, room.partial)} subscriber${room.subscribers === 1 && !room.partial ? '' : 's'}`, room.community_id, room.private && 'private',
      room.keeper && `kept by ${this.#name(room.keeper)}`,
    ].filter(Boolean).join(' · '));
    write($('people-count'), matched === room.participants ? `${matched}` : `${matched} of ${room.participants}`);
    $('room-silent').hidden = silent.length === 0;
    write($('room-silent'), `What ${silent.map(id => this.#name(id)).join(', ')} ${silent.length === 1 ? 'knows' : 'know'} is missing: no answer in time.`);
    this.#people();
    this.#routes();
    this.#ways();
  }

  #name(id) { return this.#names.get(id) ?? id.slice(0, 8); }

  #people() {
    if (this.#view) this.#table.show(this.#view.participants);
    $('room').classList.toggle('none', this.#view?.matched === 0);
  }

  // ways draws the routes, and the nodes that have to do with the room.
  #ways() {
    if (!this.#view || !this.#overview) return;
    const { nodes } = this.#overview;
    const at = new Map(nodes.map((n, i) => [n.id, i]));
    const routes = this.#view.routes.map(r => r.path.map(id => at.get(id)).filter(i => i !== undefined));
    const only = new Set(routes.flat());
    for (const p of this.#view.participants) {
      for (const id of [p.node, p.media]) if (at.has(id)) only.add(at.get(id));
    }
    if (at.has(this.#view.room.keeper)) only.add(at.get(this.#view.room.keeper));
    this.#map.show({ nodes, links: [], routes, only });
  }

  #routes() {
    const { routes } = this.#view;
    const sorted = [...routes].sort((a, b) => streamsOf(b) - streamsOf(a));
    $('routes').replaceChildren(...(sorted.length === 0 ? [make('li', { class: 'soft empty' }, 'No stream of this room crosses from one node to another.')]
      : sorted.slice(0, routesShown).map(route => {
        const people = new Set(route.streams.map(s => s.publisher)).size, streams = streamsOf(route);
        return make('li', {}, make('span', { class: 'path' }, ...route.path.flatMap((id, i) => [
          ...(i > 0 ? [make('span', { class: 'to', 'aria-label': 'to' }, '→')] : []),
          make('a', { href: `#/node/${encodeURIComponent(id)}` }, this.#name(id)),
        ])), make('span', { class: 'notes' }, `${streams} stream${streams === 1 ? '' : 's'} of ${people}${route.more ? ' or more' : ''} publisher${people === 1 ? '' : 's'}`));
      })), ...(sorted.length > routesShown ? [make('li', { class: 'soft' }, `and ${sorted.length - routesShown} more`)] : []));
  }

  #row() {
    const name = make('span', { class: 'who' }), notes = make('span', { class: 'notes' });
    const node = make('td', { 'data-label': 'Node' }), where = make('span'), media = make('span', { class: 'notes' });
    node.append(where, media);
    const drawn = label => {
      const value = make('span', { class: 'figure' }), line = make('span', { class: 'line' });
      return { value, line, cell: make('td', { class: 'drawn', 'data-label': label }, line, value) };
    };
    const delay = drawn('Delay'), loss = drawn('Loss'), up = drawn('Sends'), down = drawn('Gets');
    const mos = make('td', { class: 'number', 'data-label': 'Sound' }), frozen = make('td', { class: 'number', 'data-label': 'Frozen' });
    const button = make('button', { type: 'button', class: 'small' }, 'Remove');
    let person = null;
    button.addEventListener('click', () => this.#kick(person));
    const show = ({ value, line, cell }, values, text, verdict, top, label) => {
      const last = [...values].reverse().find(v => v !== null);
      write(value, last === undefined ? '–' : text(last));
      value.className = `figure ${last === undefined ? 'soft' : verdict(last)}`;
      const key = values.join();
      if (line.dataset.shown === key) return;
      line.dataset.shown = key;
      cell.classList.toggle('nothing', last === undefined);
      line.replaceChildren(...(last === undefined ? [] : [spark(values, top, label)]));
    };
    return {
      element: make('tr', {}, make('th', { scope: 'row' }, name, notes), node, delay.cell, loss.cell, up.cell, down.cell, mos, frozen,
        make('td', { class: 'act' }, button)),
      show: p => {
        person = p;
        write(name, p.display || 'Guest');
        name.classList.toggle('talking', Boolean(p.talking));
        write(notes, [p.id, sends(p), p.joined && `${since(p.joined)} here`].filter(Boolean).join(' · '));
        write(where, p.node ? this.#name(p.node) : '–');
        write(media, p.media ? `media at ${this.#name(p.media)}` : '');
        const q = p.quality ?? { rtt_ms: [], loss_up: [], loss_down: [], rate_up: [], rate_down: [] };
        const worse = q.loss_up.map((v, i) => (v === null && q.loss_down[i] === null ? null : Math.max(v ?? 0, q.loss_down[i] ?? 0)));
        const span = p.quality ? `over ${Math.round(q.rtt_ms.length * q.step_seconds / 60)} minutes` : '';
        show(delay, q.rtt_ms, milliseconds, ofClientDelay, 100, `Delay ${span}`);
        show(loss, worse, percent, ofLoss, 0.05, `Loss ${span}`);
        show(up, q.rate_up, bits, () => '', 1, `Bitrate sent ${span}`);
        show(down, q.rate_down, bits, () => '', 1, `Bitrate received ${span}`);
        write(mos, q.mos === undefined ? '–' : q.mos.toFixed(1));
        mos.className = `number ${q.mos === undefined ? 'soft' : ofMOS(q.mos)}`;
        write(frozen, q.frozen === undefined ? '–' : percent(q.frozen));
        frozen.className = `number ${q.frozen === undefined ? 'soft' : ofFrozen(q.frozen)}`;
        button.hidden = !this.#operator.kick;
        button.setAttribute('aria-label', `Remove ${p.display || p.id}`);
      },
    };
  }

  #kick(p) {
    const { plugin, room } = this.#which, name = p.display || p.id;
    this.#operator.confirm({
      title: `Remove ${name}?`, text: 'They are thrown out of the room, and told so. They may come back unless the room’s own rules keep them out.',
      label: 'Remove', act: () => api.kick(plugin, room, p.id), done: `${name} was removed.`,
    });
  }
}

const streamsOf = route => route.streams.length + (route.more ?? 0);

// sends says what somebody publishes, in a few words.
function sends({ streams = [] }) {
  if (streams.length === 0) return 'watches';
  return streams.map(s => `${s.description || s.kind}${s.codec ? ` ${codec(s.codec)}` : ''}${s.muted ? ' (muted)' : ''}`).join(', ');
}
