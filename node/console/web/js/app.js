// The page: the lobby, then the call. What somebody does ends up in a Call; what a Call tells ends up here.
import { Call, CallError, fetchPage, roomID } from './call.js';
import { Chat, decode, encode } from './chat.js';
import { $, icon, kept, name, write } from './dom.js';
import { Poll, describe } from './figures.js';
import * as media from './media.js';
import { NodeView, allowed } from './node.js';
import { Own } from './own.js';
import { Stage } from './tiles.js';

const query = new URLSearchParams(location.search);
const chat = new Chat($('messages'));
const node = new NodeView($('node'));
const stage = new Stage($('stage'), $('tile'), choose, show);
const own = new Own();

const quality = new Map(); // what was chosen, by tile

let page = null;
let call = null;
let poll = null;
let panel = ''; // "chat", "node" or none

// The lobby

async function start() {
  $('name').value = kept.get('name') ?? '';
  $('room').value = query.get('room') ?? '1234';
  $('secret').value = sessionStorage.getItem('cardea.secret') ?? '';
  $('show-figures').checked = kept.get('figures') !== 'off';
  showFigures();
  buttons();
  fetchPage().then(p => {
    page = p;
    $('secret-field').hidden = !p.api_secret;
  }, () => fail('The node cannot be reached.'));
  allowed().then(answer => { $('open-node').hidden = answer === 'no'; });
  if (!media.available) {
    write($('preview-text'), media.insecure);
    for (const id of ['lobby-mic', 'lobby-camera']) $(id).disabled = true;
    write($('enter'), 'Join and watch');
    buttons();
    return;
  }
  if (!await own.open()) complain('You can join and watch.');
  await listDevices();
  navigator.mediaDevices.addEventListener('devicechange', listDevices);
}

function fail(text) {
  write($('lobby-error'), text);
  $('lobby-error').hidden = !text;
}

async function enter(event) {
  event.preventDefault();
  fail('');
  $('enter').disabled = true;
  write($('enter'), 'Joining…');
  try {
    page ??= await fetchPage();
    const room = roomID($('room').value.trim(), page);
    if (room === null) throw new CallError('A room of this node is a positive number.');
    await join(room);
  } catch (err) {
    fail(err.message);
    const field = { pin: 'pin', secret: 'secret' }[err.kind];
    if (field) {
      $(`${field}-field`).hidden = false;
      $(field).focus();
    }
  } finally {
    $('enter').disabled = false;
    write($('enter'), media.available ? 'Join' : 'Join and watch');
  }
}

async function join(room) {
  const display = $('name').value.trim() || 'Guest';
  kept.set('name', $('name').value.trim());
  if ($('secret').value) sessionStorage.setItem('cardea.secret', $('secret').value);
  const c = new Call(page, { room, secret: $('secret').value, pin: $('pin').value, relay: query.has('relay') },
    { display, metadata: own.metadata });
  call = c;
  for (const [type, listener] of Object.entries({
    change: show, state: showState, blocked: showState, full, kicked: e => ended(e.detail), talking, layers: () => poll?.soon(),
    message: e => said(e.detail),
  })) c.addEventListener(type, listener);
  c.send('audio', own.microphone);
  c.send('camera', own.camera);
  try {
    await c.join();
  } catch (err) {
    call = null;
    throw err;
  }
  query.set('room', room);
  history.replaceState(null, '', `?${query}`);
  document.title = `${c.description || room} · Cardea`;
  write($('room-name'), c.description || `Room ${room}`);
  $('lobby').hidden = true;
  for (const id of ['call', 'controls', 'invite']) $(id).hidden = false;
  $('share').hidden = !media.canShare;
  poll = new Poll(() => c.handles, figures);
  show();
  $('mic').focus({ preventScroll: true });
}

function ended(why) {
  call = null;
  poll?.stop();
  poll = null;
  openPanel('');
  stage.show([]);
  own.unshare();
  quality.clear();
  for (const id of ['call', 'controls', 'invite']) $(id).hidden = true;
  $('lobby').hidden = false;
  document.title = 'Cardea';
  write($('room-name'), '');
  write($('people'), '');
  if (why) notice(why);
  else $('notice').hidden = true;
  buttons();
  $('enter').focus();
}

// Devices

// changed sends what we have now, and tells others of it.
function changed(what) {
  if (what === 'camera') preview();
  if (call) {
    call.send(what === 'microphone' ? 'audio' : what, own[what]).catch(err => notice(`This could not be sent: ${err.message}`));
    call.tell({ metadata: own.metadata }).catch(() => {});
    show();
  }
  buttons();
  listDevices();
}

// complain says what is wrong with a device: in the lobby where its picture would be.
function complain(text) {
  if (call) return notice(text);
  const lines = $('preview-text').textContent;
  if (!lines.includes(text)) write($('preview-text'), `${lines} ${text}`.trim());
}

function preview() {
  $('preview').srcObject = own.camera ? new MediaStream([own.camera]) : null;
  $('preview').hidden = !own.camera;
  write($('preview-text'), own.camera ? '' : 'Your camera is off.');
}

async function listDevices() {
  const lists = await media.devices();
  $('speaker-field').hidden = !HTMLMediaElement.prototype.setSinkId || lists.audiooutput.length === 0;
  for (const [kind, list] of Object.entries(lists)) {
    const options = list.map(d => new Option(d.label, d.id, false, d.id === own.device(kind)));
    if (options.length === 0) options.push(new Option('None found', ''));
    $(kind).replaceChildren(...options);
    $(kind).disabled = list.length === 0;
  }
}

function buttons() {
  const set = (ids, on, iconOn, iconOff, words, label) => {
    for (const id of ids) {
      $(id).setAttribute('aria-pressed', `${on}`);
      icon($(id), on ? iconOn : iconOff);
      name($(id), words);
      const text = $(id).querySelector('.label');
      if (text) write(text, label);
    }
  };
  const mic = own.speaking, camera = Boolean(own.camera);
  set(['mic', 'lobby-mic'], mic, 'mic', 'mic-off', mic ? 'Mute the microphone' : 'Unmute the microphone', mic ? 'Mute' : 'Unmute');
  set(['camera', 'lobby-camera'], camera, 'camera', 'camera-off', camera ? 'Turn the camera off' : 'Turn the camera on', camera ? 'Camera off' : 'Camera on');
  set(['share'], Boolean(own.screen), 'screen', 'screen', own.screen ? 'Stop sharing the screen' : 'Share the screen', own.screen ? 'Stop sharing' : 'Share');
  const watching = !media.available || Boolean(call && !call.canSend);
  for (const id of ['mic', 'camera', 'share']) $(id).disabled = watching;
}

// The call

// show brings the tiles in step with the call.
function show() {
  if (!call || call.state === 'joining') return;
  const me = $('name').value.trim() || 'Guest';
  const entries = [];
  let watching = [...call.waiting.values()].map(p => p.display);
  const received = [...call.received.values()];
  // Of those who are moving to another node, what comes from there takes the place of the rest when it plays.
  const successor = p => call.participants.get(p.metadata?.successor);
  const successors = new Set([...call.participants.values()].map(p => successor(p)?.id).filter(id => id !== undefined));
  for (const p of call.participants.values()) {
    if (successor(p) && stage.plays(`${successor(p).id}`)) {
      successors.delete(successor(p).id);
      continue;
    }
    const sent = [...p.streams.values()].filter(s => !s.disabled && s.type !== 'data');
    if (sent.length === 0) watching.push(p.display);
    const audio = received.find(r => r.feed === p.id && r.type === 'audio');
    const videos = sent.filter(s => s.type === 'video');
    const screens = videos.filter(s => s.description === 'screen');
    const face = videos.find(s => s.description !== 'screen');
    const seen = s => received.find(r => r.feed === p.id && r.mid === s?.mid);
    const layered = s => Boolean(s?.simulcast);
    if (sent.length > screens.length) {
      const key = `${p.id}`, video = seen(face);
      entries.push({
        key, display: p.display || 'Guest', video: video?.track, audio: audio?.track, coming: successors.has(p.id),
        dark: p.metadata?.camera === false || face?.moderated, muted: p.metadata?.mic === false || !audio,
        talking: talkers.has(p.id) || p.talking, layered: layered(face) && Boolean(video), quality: quality.get(key) ?? 2,
      });
    }
    for (const s of screens) {
      const key = `${p.id}/${s.mid}`, video = seen(s);
      entries.push({
        key, display: p.display || 'Guest', screen: true, video: video?.track, audio: null,
        layered: layered(s) && Boolean(video), quality: quality.get(key) ?? 2,
      });
    }
  }
  entries.push({
    key: 'own', display: me, own: true, watching: !call.canSend, video: own.camera, audio: null, dark: !own.camera, muted: !own.speaking, talking: talkers.has(call.id),
  });
  if (own.screen) entries.push({ key: 'own/screen', display: me, own: true, screen: true, video: own.screen, audio: null });
  stage.show(entries);
  const here = 1 + call.participants.size + call.waiting.size - successors.size;
  write($('people'), `${here} here`);
  titlePanel();
  $('alone').hidden = here > 1 || call.state !== 'joined';
  watching = watching.map(d => d || 'Guest');
  $('watchers').hidden = watching.length === 0;
  write($('watchers'), `Watching: ${watching.slice(0, 12).join(', ')}${watching.length > 12 ? ` and ${watching.length - 12} more` : ''}`);
  buttons();
}

const talkers = new Set();

function talking({ detail: { id, talking } }) {
  if (talking) talkers.add(id);
  else talkers.delete(id);
  stage.talking(id === call?.id ? 'own' : `${id}`, talking);
}

// received returns what is received for a tile.
function received(key) {
  const [feed, mid] = key.split('/');
  return [...call.received.values()].find(r => `${r.feed}` === feed && r.type === 'video'
    && (mid !== undefined ? r.mid === mid : call.participants.get(r.feed)?.streams.get(r.mid)?.description !== 'screen'));
}

function choose(key, substream) {
  quality.set(key, substream);
  const r = received(key);
  if (r) call.choose(r.line, substream).catch(err => notice(`The quality could not be changed: ${err.message}`));
}

// figures writes beside each stream what the node sees of it.
function figures({ publisher, subscriber }) {
  if (!call) return;
  if (call.elsewhere) {
    // Only the node that serves us has figures of us, and it tells them to its own pages alone.
    stage.clearFigures();
    stage.figures('own', [{ label: 'Now with', value: call.elsewhere, title: 'The node of this page gave the call to another one, whose figures this page does not get', needed: true }]);
    return;
  }
  // The node measures the round trip where it sends media, and both connections take the same way.
  const rtt = subscriber?.rtt_ms || publisher?.rtt_ms || 0;
  const find = (peer, mid, direction) => peer?.lines.find(l => mid !== null && l.mid === mid && l.direction === direction);
  const mine = what => find(publisher, call.mid(what), 'receive');
  stage.figures('own', describe({ video: own.camera && mine('camera'), audio: own.microphone && mine('audio'), sending: false, rtt }));
  stage.figures('own/screen', describe({ video: mine('screen'), sending: false, rtt }));
  for (const p of call.participants.values()) {
    const audio = [...call.received.values()].find(r => r.feed === p.id && r.type === 'audio');
    const face = p.metadata?.camera !== false && received(`${p.id}`);
    stage.figures(`${p.id}`, describe({
      video: face && find(subscriber, face.line, 'send'), audio: audio && find(subscriber, audio.line, 'send'), sending: true, rtt,
    }));
    for (const mid of p.streams.keys()) {
      const screen = received(`${p.id}/${mid}`);
      stage.figures(`${p.id}/${mid}`, describe({ video: screen && find(subscriber, screen.line, 'send'), sending: true, rtt }));
    }
  }
}

function showState() {
  if (!call || call.state === 'joining') return;
  if (call.blocked) {
    const { hosts, port } = call.blocked;
    notice(`Sound and picture do not get through to the node. Check your network, and that no firewall blocks port ${port} UDP and TCP of ${
      hosts.slice(0, 3).join(', ')}. Still trying…`, null, true);
  } else if (call.state === 'reconnecting') notice('The connection to the node is lost. Reconnecting…', null, true);
  else if ($('notice').dataset.passing) $('notice').hidden = true;
  show();
}

function full() {
  notice('The room has all the publishers it takes. You can watch; try again when somebody has left.',
    { label: 'Try again', run: () => call?.publish() });
}

// notice shows a line at the top. One that is passing goes with its cause.
function notice(text, action = null, passing = false) {
  write($('notice-text'), text);
  if (passing) $('notice').dataset.passing = 'yes';
  else delete $('notice').dataset.passing;
  $('notice-close').hidden = passing;
  $('notice-action').hidden = !action;
  if (action) {
    write($('notice-action'), action.label);
    $('notice-action').onclick = () => {
      $('notice').hidden = true;
      action.run();
    };
  }
  $('notice').hidden = false;
}

// The panel

function openPanel(which) {
  if (panel === 'node') node.stop();
  panel = panel === which ? '' : which;
  $('panel').hidden = panel === '';
  $('chat').hidden = panel !== 'chat';
  $('node').hidden = panel !== 'node';
  titlePanel();
  $('open-chat').setAttribute('aria-expanded', `${panel === 'chat'}`);
  $('open-node').setAttribute('aria-expanded', `${panel === 'node'}`);
  if (panel === 'node') node.start();
  if (panel === 'chat') {
    chat.unread = 0;
    $('unread').hidden = true;
    $('messages').scrollTop = $('messages').scrollHeight;
  }
  if (panel) (panel === 'chat' && matchMedia('(hover: hover)').matches ? $('words') : $('panel-title')).focus();
}

function titlePanel() {
  const which = call?.elsewhere ? `The page’s node (your call is with ${call.elsewhere})` : 'This node';
  write($('panel-title'), { chat: 'Chat', node: which }[panel] ?? '');
}

function closePanel() {
  const opener = panel === 'node' ? 'open-node' : 'open-chat';
  if (!panel) return;
  openPanel('');
  $(opener).focus();
}

function said({ name, text }) {
  chat.said(name, decode(text), false, panel === 'chat');
  $('unread').hidden = chat.unread === 0;
  write($('unread'), `${Math.min(chat.unread, 99)}`);
  $('open-chat').setAttribute('aria-label', chat.unread > 0 ? `Chat, ${chat.unread} not read` : 'Chat');
}

function say(event) {
  event.preventDefault();
  const text = $('words').value.trim();
  if (!text) return;
  if (!call?.say(encode(text))) return notice('This message was not sent: the chat is not connected.');
  chat.said('', text, true, true);
  $('words').value = '';
}

async function invite() {
  const link = new URL(location.href);
  link.search = new URLSearchParams({ room: query.get('room') });
  try {
    await navigator.clipboard.writeText(link.href);
    notice('The link to this room is copied.');
  } catch {
    notice(`The link to this room: ${link.href}`);
  }
}

function showFigures() {
  document.body.classList.toggle('hide-figures', !$('show-figures').checked);
  kept.set('figures', $('show-figures').checked ? 'on' : 'off');
  stage.layout();
}

$('join').addEventListener('submit', enter);
own.addEventListener('change', e => changed(e.detail));
own.addEventListener('problem', e => complain(e.detail));
for (const id of ['mic', 'lobby-mic']) $(id).addEventListener('click', () => own.toggleMicrophone());
for (const id of ['camera', 'lobby-camera']) $(id).addEventListener('click', () => own.toggleCamera());
$('share').addEventListener('click', () => own.toggleScreen());
$('open-chat').addEventListener('click', () => openPanel('chat'));
$('open-node').addEventListener('click', () => openPanel('node'));
$('close-panel').addEventListener('click', closePanel);
$('leave').addEventListener('click', () => {
  call?.leave();
  ended('');
});
$('say').addEventListener('submit', say);
$('invite').addEventListener('click', invite);
$('notice-close').addEventListener('click', () => { $('notice').hidden = true; });
$('open-settings').addEventListener('click', () => $('settings').showModal());
$('show-figures').addEventListener('change', showFigures);
for (const kind of ['videoinput', 'audioinput', 'audiooutput']) {
  $(kind).addEventListener('change', () => {
    own.choose(kind, $(kind).value);
    if (kind === 'audiooutput') stage.speaker($(kind).value);
  });
}
addEventListener('keydown', e => {
  if (e.key === 'Escape' && !$('settings').open) closePanel();
});
addEventListener('sound-blocked', () => notice('The browser plays no sound before you touch the page.', { label: 'Play', run: () => stage.play() }));
addEventListener('pagehide', () => call?.leave());
addEventListener('pageshow', e => {
  if (e.persisted) location.reload(); // the call ended when the page was left
});
addEventListener('unhandledrejection', e => console.warn(e.reason));

start();
