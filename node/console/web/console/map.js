// The map: nodes where they are, links between them, and the ways that streams of one room take.
import { write } from '../js/dom.js';
import { arc, height, project, ring, width } from './projection.js';
import { svg } from './svg.js';
import { ofLink, ofNode, words } from './verdict.js';
import { land } from './world.js';

const near = 20; // pixels: marks nearer to each other than that are one
const deepest = 14; // times the whole world
const severity = ['bad', 'silent', 'leaving', 'fair', 'good']; // the worst of a group gives its colour
const bandwidth = 1000; // bits/s from which a link carries something

export class MapView extends EventTarget {
  #root;
  #world;
  #controls; // which cover a part of the map; null where there are none
  #lines = new Map(); // path elements by what is drawn with them
  #marks;
  #elements = new Map(); // marks by key
  #arcs = new Map(); // paths by the places they join
  #size = { w: 0, h: 0 };
  #view = { k: 1, x: 0, y: 0 };
  #moved = false; // by the user: it stays where it is
  #state = { nodes: [], links: [], routes: null, only: null, by: 'loss', idle: true, selected: '' };
  #places = [];

  // element is a <figure> in which the map fills the box `.map`.
  constructor(element) {
    super();
    this.#root = svg('svg', { class: 'map-svg', role: 'group', 'aria-label': 'Map of the nodes' });
    this.#world = svg('g', {}, svg('path', { class: 'land', d: land, transform: 'scale(.1)' }));
    const lines = svg('g', { transform: 'scale(.1)', 'aria-hidden': 'true' });
    for (const name of ['idle-good', 'idle-fair', 'idle-bad', 'busy-good', 'busy-fair', 'busy-bad', 'own', 'route']) {
      const path = svg('path', { class: `line ${name}` });
      this.#lines.set(name, path);
      lines.append(path);
    }
    this.#world.append(lines);
    this.#marks = svg('g');
    this.#root.append(this.#world, this.#marks);
    element.append(this.#root);
    this.#controls = element.querySelector('.zoom');
    new ResizeObserver(([{ contentRect }]) => this.#resize(contentRect.width, contentRect.height)).observe(element);
    this.#listen();
  }

  // show brings the map in step: nodes and links of an overview; routes, each an array of indices into nodes, or null; only, a set
  // of indices to show, or null for all; by, "loss" or "delay"; idle, whether links that carry nothing are shown; selected, an id.
  show(state) {
    Object.assign(this.#state, state);
    this.#place();
    this.#draw();
  }

  fit() {
    this.#moved = false;
    this.#aim();
    this.#draw();
  }

  zoom(factor) { this.#zoomAt(factor, this.#size.w / 2, this.#size.h / 2); }

  #place() {
    const { nodes } = this.#state;
    const lost = nodes.filter(n => !n.place);
    this.known = lost.length < nodes.length;
    if (!this.known) {
      const order = [...nodes.keys()].sort((a, b) => (nodes[a].region ?? '').localeCompare(nodes[b].region ?? '') || a - b);
      const points = ring(nodes.length);
      this.#places = [];
      order.forEach((node, i) => { this.#places[node] = points[i]; });
    } else {
      let i = 0; // those that nobody knows of stand in a row in the south
      this.#places = nodes.map(n => n.place ?? { lat: -52, lon: lost.length > 1 ? -60 + 120 * (i++ / (lost.length - 1)) : 0 });
    }
    this.unplaced = this.known ? lost.length : 0;
    this.#world.classList.toggle('nowhere', !this.known);
    const all = this.#places.map(p => `${p.lat},${p.lon}`).join(';') + [...this.#state.only ?? []].join();
    if (all !== this.#aimed) {
      this.#aimed = all;
      if (!this.#moved) this.#aim();
    }
  }

  #aimed = '';

  // aim has everything in sight, with some water around it.
  #aim() {
    const { w, h } = this.#size;
    const { only } = this.#state;
    const shown = this.#places.filter((_, i) => !only || only.has(i)).map(p => project(p.lat, p.lon));
    if (!w || shown.length === 0) return;
    const xs = shown.map(p => p[0]), ys = shown.map(p => p[1]);
    let [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    if (!only && this.known && x1 - x0 > width / 2) [x0, x1, y0, y1] = [8, width - 22, 4, height - 8];
    const pad = 34;
    const k = Math.min((w - 2 * pad) / Math.max(x1 - x0, 60), (h - 2 * pad) / Math.max(y1 - y0, 40), Math.max(w / width, 1.2) * 6);
    const whole = Math.max(k, Math.min(w / width, h / height));
    this.#view = { k: whole, x: w / 2 - whole * (x0 + x1) / 2, y: h / 2 - whole * (y0 + y1) / 2 };
  }

  #resize(w, h) {
    if (w === this.#size.w && h === this.#size.h) return;
    this.#size = { w, h };
    this.#root.setAttribute('viewBox', `0 0 ${w} ${h}`);
    if (!this.#moved) this.#aim();
    this.#draw();
  }

  #draw() {
    const { k, x, y } = this.#view;
    if (!this.#size.w) return;
    set(this.#world, 'transform', `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${k.toFixed(4)})`);
    this.#drawLinks();
    this.#drawMarks();
  }

  #arc(a, b) {
    const from = this.#places[a], to = this.#places[b];
    const key = `${from.lat},${from.lon},${to.lat},${to.lon}`;
    let path = this.#arcs.get(key);
    if (path === undefined) {
      if (this.#arcs.size > 20_000) this.#arcs.clear(); // nodes that moved
      path = this.known ? arc(from, to) : straight(from, to);
      this.#arcs.set(key, path);
    }
    return path;
  }

  #drawLinks() {
    const { nodes, links, routes, by, idle, selected } = this.#state;
    const paths = Object.fromEntries([...this.#lines.keys()].map(name => [name, []]));
    const chosen = selected ? nodes.findIndex(n => n.id === selected) : -1;
    if (routes) {
      const steps = new Set();
      for (const path of routes) for (let i = 1; i < path.length; i++) steps.add(`${path[i - 1]},${path[i]}`);
      for (const step of steps) paths.route.push(this.#arc(...step.split(',').map(Number)));
    } else {
      for (const link of links) {
        const verdict = ofLink(link, by), busy = link.rate >= bandwidth;
        if (!busy && !idle && verdict !== 'bad') continue;
        const path = this.#arc(link.a, link.b);
        paths[`${busy ? 'busy' : 'idle'}-${verdict}`].push(path);
        if (link.a === chosen || link.b === chosen) paths.own.push(path);
      }
    }
    for (const [name, element] of this.#lines) set(element, 'd', paths[name].join(''));
    this.#root.classList.toggle('chosen', chosen >= 0);
  }

  // groups joins marks that would cover each other.
  #groups() {
    const { nodes, only, selected } = this.#state;
    const { k, x, y } = this.#view;
    const groups = [];
    const order = [...nodes.keys()].filter(i => !only || only.has(i)).sort((a, b) => (nodes[b].id === selected) - (nodes[a].id === selected) || a - b);
    for (const i of order) {
      const [px, py] = project(this.#places[i].lat, this.#places[i].lon);
      const at = { x: px * k + x, y: py * k + y };
      const group = groups.find(g => Math.hypot(g.x - at.x, g.y - at.y) < near);
      if (group) group.members.push(i);
      else groups.push({ ...at, members: [i] });
    }
    return groups;
  }

  #drawMarks() {
    const { nodes, selected } = this.#state;
    const used = new Set();
    const groups = this.#groups();
    const free = this.#space(groups);
    const named = groups.length <= 14 || this.#view.k * width / this.#size.w > 3;
    for (const { x, y, members } of groups) {
      const key = nodes[members[0]].id;
      used.add(key);
      let mark = this.#elements.get(key);
      if (!mark) {
        mark = svg('g', { class: 'mark', role: 'button', tabindex: '0' }, svg('title'), svg('circle', { class: 'halo', r: 16 }),
          svg('circle', { class: 'dot' }), svg('text', { class: 'count', dy: '.35em' }), svg('text', { class: 'label' }),
          svg('g', { class: 'shares' }, ...severity.map(state => svg('path', { class: state }))));
        this.#elements.set(key, mark);
        this.#marks.append(mark);
      }
      mark.members = members;
      const states = members.map(i => ofNode(nodes[i]));
      const worst = severity.find(s => states.includes(s));
      const many = members.length > 1;
      const [title, , dot, count, label, shares] = mark.children;
      let turned = 0;
      severity.forEach((state, i) => {
        const share = many ? states.filter(s => s === state).length / members.length : 0;
        set(shares.children[i], 'd', sector(10.5, turned, turned + share));
        turned += share;
      });
      set(mark, 'transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      set(mark, 'class', `mark ${worst}${many ? ' many' : ''}${members.some(i => nodes[i].id === selected) ? ' selected' : ''}${members.some(i => nodes[i].self) ? ' self' : ''}`);
      set(dot, 'r', many ? 12.5 : 6.5);
      const name = many ? `${members.length} nodes: ${members.slice(0, 6).map(i => shortName(nodes[i])).join(', ')}${members.length > 6 ? ' …' : ''}`
        : `${nameOf(nodes[members[0]])}, ${words[worst]}, load ${Math.round(nodes[members[0]].load * 100)} %`;
      set(mark, 'aria-label', name);
      write(title, name);
      write(count, many ? `${members.length}` : '');
      const short = shortName(nodes[members[0]]);
      const text = named ? (many ? `${short} +${members.length - 1}` : short) : '';
      const side = text ? free(x, y, text.length * 7, many ? 16 : 11) : 0;
      write(label, side ? text : '');
      set(label, 'x', side * (many ? 16 : 11));
      set(label, 'y', 4);
      set(label, 'text-anchor', side < 0 ? 'end' : 'start');
    }
    for (const [key, mark] of this.#elements) {
      if (used.has(key)) continue;
      mark.remove();
      this.#elements.delete(key);
    }
  }

  // space returns a function that finds the side of a mark where a name of that length covers no mark, no button and no other name: 1 to
  // the right, -1 to the left, 0 for none.
  #space(groups) {
    const taken = groups.map(g => ({ x0: g.x - 10, x1: g.x + 10, y0: g.y - 10, y1: g.y + 10 }));
    if (this.#controls) {
      const { offsetLeft: x, offsetTop: y, offsetWidth: w, offsetHeight: h } = this.#controls;
      taken.push({ x0: x, x1: x + w, y0: y, y1: y + h });
    }
    return (x, y, length, from) => {
      for (const side of [1, -1]) {
        const [x0, x1] = side > 0 ? [x + from, x + from + length] : [x - from - length, x - from];
        const box = { x0, x1, y0: y - 7, y1: y + 7 };
        if (x0 < 4 || x1 > this.#size.w - 4) continue;
        if (taken.some(t => t.x0 < box.x1 && box.x0 < t.x1 && t.y0 < box.y1 && box.y0 < t.y1)) continue;
        taken.push(box);
        return side;
      }
      return 0;
    };
  }

  #listen() {
    const touches = new Map();
    let last = null, dragged = false;
    const local = e => {
      const box = this.#root.getBoundingClientRect();
      return { x: e.clientX - box.left, y: e.clientY - box.top };
    };
    this.#root.addEventListener('wheel', e => {
      if (!e.ctrlKey && !e.metaKey && this.#view.k <= this.#least() * 1.001 && e.deltaY > 0) return; // the page scrolls on
      e.preventDefault();
      const { x, y } = local(e);
      this.#zoomAt(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0015)), x, y);
    }, { passive: false });
    this.#root.addEventListener('pointerdown', e => {
      touches.set(e.pointerId, local(e));
      dragged = false;
      last = null;
    });
    this.#root.addEventListener('pointermove', e => {
      if (!touches.has(e.pointerId)) return;
      const was = touches.get(e.pointerId), now = local(e);
      if (!dragged && Math.hypot(now.x - was.x, now.y - was.y) < 4) return;
      if (!dragged) this.#root.setPointerCapture(e.pointerId);
      dragged = true;
      touches.set(e.pointerId, now);
      const [p, q] = [...touches.values()];
      if (q) {
        const apart = Math.hypot(p.x - q.x, p.y - q.y), middle = { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
        if (last) {
          this.#pan(middle.x - last.x, middle.y - last.y);
          this.#zoomAt(apart / last.apart, middle.x, middle.y);
        }
        last = { ...middle, apart };
      } else this.#pan(now.x - was.x, now.y - was.y);
    });
    for (const type of ['pointerup', 'pointercancel']) {
      this.#root.addEventListener(type, e => {
        touches.delete(e.pointerId);
        last = null;
      });
    }
    const choose = e => {
      const mark = e.target.closest('.mark');
      if (!mark || dragged) return;
      const { nodes } = this.#state;
      if (mark.members.length > 1 && this.#view.k < this.#most()) {
        const at = mark.members.map(i => this.#places[i]);
        if (at.some(p => p.lat !== at[0].lat || p.lon !== at[0].lon)) {
          const [, x, y] = /translate\(([-\d.]+) ([-\d.]+)\)/.exec(mark.getAttribute('transform')).map(Number);
          this.#zoomAt(2.2, x, y);
        }
      }
      this.dispatchEvent(new CustomEvent('choose', { detail: mark.members.map(i => nodes[i].id) }));
    };
    this.#root.addEventListener('click', choose);
    this.#root.addEventListener('keydown', e => {
      if (e.key === 'Enter' || e.key === ' ') {
        e.preventDefault();
        dragged = false;
        choose(e);
      }
    });
  }

  #least() { return Math.min(this.#size.w / width, this.#size.h / height); }
  #most() { return this.#least() * deepest; }

  #pan(dx, dy) {
    const { k, x, y } = this.#view;
    const { w, h } = this.#size;
    const keep = (v, size, whole) => Math.min(size * 0.7, Math.max(size * 0.3 - whole * k, v)); // some of the world stays in sight
    this.#view = { k, x: keep(x + dx, w, width), y: keep(y + dy, h, height) };
    this.#moved = true;
    this.#later();
  }

  #zoomAt(factor, px, py) {
    const { k, x, y } = this.#view;
    const to = Math.min(this.#most(), Math.max(this.#least(), k * factor));
    this.#view = { k: to, x: px - (px - x) * to / k, y: py - (py - y) * to / k };
    this.#moved = true;
    this.#later();
  }

  #frame = 0;

  // later draws once a frame, however often the hand moves.
  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }
}

// nameOf and shortName are what people read for a node, long and short. The node that was asked decides them, so that no two nodes read
// the same.
export const nameOf = node => node.label;
export const shortName = node => node.short;

// legend are the steps of the colours, as [verdict, words].
export const legend = {
  loss: [['good', 'under 1 % lost'], ['fair', '1 to 3 %'], ['bad', '3 % and more, or silent']],
  delay: [['good', 'under 100 ms'], ['fair', '100 to 200 ms'], ['bad', '200 ms and more, or silent']],
};

function straight(from, to) {
  const point = p => project(p.lat, p.lon).map(v => Math.round(v * 10)).join(' ');
  return `M${point(from)}L${point(to)}`;
}

// sector is a part of a circle's line, from and to in turns from the top.
function sector(r, from, to) {
  if (to - from < 1e-6) return '';
  if (to - from > 1 - 1e-6) return `M0 ${-r}A${r} ${r} 0 0 1 0 ${r}A${r} ${r} 0 0 1 0 ${-r}`;
  const point = turn => `${(r * Math.sin(2 * Math.PI * turn)).toFixed(2)} ${(-r * Math.cos(2 * Math.PI * turn)).toFixed(2)}`;
  return `M${point(from)}A${r} ${r} 0 ${to - from > 0.5 ? 1 : 0} 1 ${point(to)}`;
}

// set changes an attribute that says something else: the browser draws anew what is touched.
function set(element, name, value) {
  const text = String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}
