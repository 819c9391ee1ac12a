// The console: which page is shown, and what it is given. The pages' addresses are in the part after "#":
//   #/                        the mesh            #/node/ID          with a node chosen
//   #/rooms                   the rooms           #/room/PLUGIN/ROOM one of them
import { $, write } from '../js/dom.js';
import { Closed, overview, token } from './api.js';
import { MeshPage } from './mesh.js';
import { Operator } from './operator.js';
import { Poll } from './poll.js';
import { RoomPage } from './room.js';
import { RoomsPage } from './rooms.js';

const every = 3_000;

const operator = new Operator();
const mesh = new MeshPage(operator);
const rooms = new RoomsPage(failed);
const room = new RoomPage(operator, failed);

let seen = null; // the last overview
let taken = 0; // when it came
let trouble = '';
let wrong = false; // what was shown is not the token
let shut = false; // nothing may be seen

// The mesh is asked for on every page: the list of rooms needs its nodes' names.
const poll = new Poll(async signal => {
  try {
    const o = await overview(signal);
    const began = performance.now();
    trouble = '';
    wrong = false;
    taken = began;
    seen = o;
    reopen();
    share();
    performance.measure('cardea.update', { start: began });
  } catch (err) {
    failed(err);
  }
  live();
}, every);

// share gives the pages that are shown what is known of the mesh.
function share() {
  if (!seen) return;
  if (!$('mesh').hidden) mesh.show(seen);
  if (!$('room').hidden) room.nodes(seen);
  if (!$('rooms').hidden) rooms.nodes(seen);
}

// failed says what went wrong: in place of all pages if nothing may be seen, else beside them.
function failed(err) {
  if (err.name === 'AbortError') return;
  if (!(err instanceof Closed)) {
    trouble = err.message;
    live();
    return;
  }
  shut = true;
  for (const page of ['mesh', 'rooms', 'room']) $(page).hidden = true;
  $('closed').hidden = false;
  wrong ||= err.wrong;
  write($('closed-text'), wrong ? 'That is not the token.' : err.token
    ? 'What the nodes do is shown to the networks of console.allowed and to bearers of console.token.'
    : 'What the nodes do is shown to the networks of console.allowed only.');
  $('token-label').hidden = $('token-show').hidden = !err.token;
}

function reopen() {
  if (!shut) return;
  shut = false;
  operator.ask();
  route();
}

// live says how old what is shown is.
function live() {
  const age = (performance.now() - taken) / 1000;
  const old = taken > 0 && age > 3 * every / 1000;
  write($('live'), trouble ? trouble : old ? `${Math.round(age)} s old` : taken > 0 ? 'Live' : '');
  $('live').classList.toggle('not', trouble !== '' || old);
}
setInterval(live, every);

function route() {
  if (shut) return;
  const [what, ...rest] = location.hash.replace(/^#\/?/, '').split('/').map(part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return ''; // somebody's broken link
    }
  });
  const page = what === 'rooms' || what === 'room' && rest.length === 2 ? what : 'mesh';
  const changed = $(page).hidden;
  for (const id of ['mesh', 'rooms', 'room', 'closed']) $(id).hidden = id !== page;
  for (const [id, on] of [['to-mesh', page === 'mesh'], ['to-rooms', page !== 'mesh']]) {
    if (on) $(id).setAttribute('aria-current', 'page');
    else $(id).removeAttribute('aria-current');
  }
  if (page !== 'rooms') rooms.close();
  if (page !== 'room') room.close();
  if (page === 'mesh') mesh.choose(what === 'node' ? rest[0] ?? '' : '');
  if (page === 'rooms') rooms.open();
  if (page === 'room') room.open(rest[0], rest[1]);
  document.title = { mesh: 'Mesh', rooms: 'Rooms', room: `Room ${rest[1]}` }[page] + ' · Cardea';
  if (changed) scrollTo(0, 0);
  share();
}

$('token').addEventListener('submit', e => {
  e.preventDefault();
  token.set($('token-input').value);
  $('token-input').value = '';
  poll.soon();
});
$('notice-close').addEventListener('click', () => { $('notice').hidden = true; });
operator.addEventListener('change', share);
operator.addEventListener('done', ({ detail }) => {
  write($('notice-text'), detail);
  $('notice').hidden = false;
  poll.soon();
});
addEventListener('hashchange', route);
route();
