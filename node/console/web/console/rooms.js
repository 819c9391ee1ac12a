// The page of rooms: the node searches, sorts and cuts pages; here is one page at a time.
import { $, make, write } from '../js/dom.js';
import { count } from '../js/format.js';
import * as api from './api.js';
import { shortName } from './map.js';
import { Pager } from './pager.js';
import { Poll } from './poll.js';
import { Table, sorter } from './table.js';
import { atLeast } from './verdict.js';

const every = 5_000;
const size = 50;
const typing = 250; // milliseconds after the last key

export class RoomsPage {
  #failed;
  #poll = null;
  #sort = { by: 'participants', down: true };
  #pager;
  #table;
  #names = new Map();
  #page = null;

  constructor(failed) {
    this.#failed = failed;
    this.#pager = new Pager('rooms', size, () => this.#turn());
    this.#table = new Table($('room-list').tBodies[0], { key: r => `${r.plugin}/${r.room}`, make: () => this.#row() });
    sorter($('room-list'), this.#sort, () => {
      this.#sort.down = this.#sort.by === 'participants'; // the node knows these two orders
      this.#again();
    });
    let timer = 0;
    $('room-search').addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#again(), typing);
    });
  }

  open() {
    this.#poll ??= new Poll(signal => this.#load(signal), every);
  }

  close() {
    this.#poll?.stop();
    this.#poll = null;
  }

  // nodes brings the names of keepers.
  nodes({ nodes }) {
    const before = this.#names.size;
    this.#names = new Map(nodes.map(n => [n.id, shortName(n)]));
    if (this.#page && before !== this.#names.size) this.#table.show(this.#page.rooms);
  }

  #again() {
    this.#pager.offset = 0;
    this.#poll?.soon();
  }

  #turn() {
    this.#poll?.soon();
    $('rooms').scrollIntoView();
  }

  async #load(signal) {
    try {
      const page = await api.rooms({
        search: $('room-search').value.trim(), sort: this.#sort.by, offset: this.#pager.offset, limit: size,
      }, signal);
      if (!this.#pager.show(page.rooms.length, page.matched)) return this.#poll?.soon();
      this.#page = page;
      this.#table.show(page.rooms);
      write($('room-count'), page.matched === page.total ? count(page.total) : `${count(page.matched)} of ${count(page.total)}`);
      $('rooms').classList.toggle('none', page.matched === 0);
    } catch (err) {
      this.#failed(err);
    }
  }

  #row() {
    const link = make('a'), notes = make('span', { class: 'notes' });
    const figure = label => make('td', { class: 'number', 'data-label': label });
    const people = figure('Participants'), publishers = figure('Publishers'), subscribers = figure('Subscribers');
    const community = make('td', { 'data-label': 'Community' }), keeper = make('td', { 'data-label': 'Keeper' });
    return {
      element: make('tr', {}, make('th', { scope: 'row' }, link, notes), people, publishers, subscribers, community, keeper),
      show: r => {
        write(link, r.description || r.room);
        const href = `#/room/${encodeURIComponent(r.plugin)}/${encodeURIComponent(r.room)}`;
        if (link.getAttribute('href') !== href) link.setAttribute('href', href);
        write(notes, [r.room, r.private && 'private'].filter(Boolean).join(' · '));
        write(people, count(r.participants));
        people.classList.toggle('soft', r.participants === 0);
        for (const [cell, n] of [[publishers, r.publishers], [subscribers, r.subscribers]]) {
          write(cell, atLeast(n, r.partial));
          cell.classList.toggle('soft', n === 0);
        }
        write(community, r.community_id || '–');
        write(keeper, this.#names.get(r.keeper) ?? r.keeper?.slice(0, 8) ?? '–');
      },
    };
  }
}
