// The nodes of the mesh, as this one sees them.
import { make } from './dom.js';
import { milliseconds, percent } from './format.js';

const plural = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? '' : 's'}`;

// meshView returns the nodes by region: the state and load of each, and the way there.
export function meshView(nodes) {
  const regions = new Map();
  for (const n of [...nodes].sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id))) {
    const region = n.region ?? '';
    if (!regions.has(region)) regions.set(region, []);
    regions.get(region).push(n);
  }
  const names = [...regions.keys()].sort((a, b) => (a === '') - (b === '') || a.localeCompare(b));
  const links = nodes.filter(n => n.linked).length;
  const head = make('thead', {}, make('tr', {}, ...['Node', 'Load', 'RTT', 'Loss'].map(what => make('th', { scope: 'col' }, what))));
  return [
    make('p', {}, `${plural(nodes.length, 'node')} in ${plural(names.length, 'region')}, ${plural(links, 'link')} from here`),
    make('table', { class: 'mesh' }, head, ...names.map(name => make('tbody', {},
      make('tr', { class: 'region' }, make('th', { scope: 'rowgroup', colspan: 4 }, name || 'Without a region')),
      ...regions.get(name).map(row)))),
  ];
}

function row(n) {
  const figure = (value, text) => make('td', {}, value === undefined ? '–' : text(value));
  const way = n.self ? 'this node' : n.linked ? 'linked' : 'no link';
  const version = n.version ? [', ', make('span', { class: 'version' }, n.version)] : [];
  return make('tr', {},
    make('th', { scope: 'row', title: n.id },
      make('span', { class: n.state === 'ready' ? 'member' : 'member not' }, n.label || n.name || n.id.slice(0, 6)),
      make('span', { class: 'notes' }, `${n.state}, ${way}`, ...version)),
    make('td', {}, percent(n.load)), figure(n.rtt_ms, milliseconds), figure(n.loss, percent));
}
