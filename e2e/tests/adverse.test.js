// The page where networks block media, browsers keep hidden pages from their timers, and nodes crash.
import assert from 'node:assert/strict';
import { enter } from '../harness/call.js';
import { grows, play, until } from '../harness/stage.js';

const silence = 6_000, reclaim = 10_000; // after which the node ends a session, milliseconds
const stage = play({ node: () => ({ janus: { session_timeout: `${silence}ms`, reclaim_session_timeout: `${reclaim}ms` } }) });

async function join(name, room, prepare = () => {}) {
  const context = await stage.browser.newContext();
  const page = await context.newPage();
  await page.addInitScript(prepare);
  stage.clients.push({ name, page, lines: [], record: () => page.innerText('body'), close: () => context.close() });
  await page.goto(`http://${stage.node.address}:9600/`);
  await enter(page, name, room);
  return page;
}

// block is a firewall, of candidates with another port, around a page whose time passes three times as fast.
function block() {
  const { setTimeout, setInterval, performance } = window, now = performance.now.bind(performance);
  performance.now = () => 3 * now();
  window.setTimeout = (f, ms, ...rest) => setTimeout(f, ms / 3, ...rest);
  window.setInterval = (f, ms, ...rest) => setInterval(f, ms / 3, ...rest);
  window.firewall = true;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    setRemoteDescription({ type, sdp }) {
      return super.setRemoteDescription({ type, sdp: window.firewall ? sdp.replace(/^(a=candidate:\S+ \d+ \S+ \d+ \S+) \d+ /gm, '$1 9 ') : sdp });
    }
  };
}

// hide has timers run as late as in a page that has been hidden for long, and notes what is asked of the node, and when.
function hide() {
  window.sockets = [];
  window.asked = [];
  const { setTimeout, setInterval } = window;
  window.setTimeout = (f, ms, ...rest) => setTimeout(f, Math.max(ms, 60_000), ...rest);
  window.setInterval = (f, ms, ...rest) => setInterval(f, Math.max(ms, 60_000), ...rest);
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      window.sockets.push(this);
    }

    send(text) {
      window.asked.push({ what: JSON.parse(text).janus, when: performance.now() });
      super.send(text);
    }
  };
}

// Both at once, since most of it is waiting.
stage.test('media that is blocked is told of, and a hidden page keeps its session', async () => {
  const hidden = await join('Hidden', 20, hide);
  const blocked = await join('Blocked', 21, block);
  await Promise.all([told(blocked), kept(hidden)]);
});

async function told(page) {
  await until('the page tells of it', async () => (await page.innerText('#notice')).includes('do not get through'), { within: 40_000 });
  assert.match(await page.innerText('#notice'), new RegExp(`port 9 UDP and TCP of ${stage.node.address.replaceAll('.', '\\.')}`));
  await until('who is connecting is counted apart', async () => {
    const status = await (await fetch(`http://${stage.node.address}:9600/api/v1/status`)).json();
    return status.connected < status.peers;
  });
  await page.evaluate(() => { window.firewall = false; });
  await until('it is taken back', async () => !await page.isVisible('#notice'), { within: 40_000 });
}

async function kept(page) {
  const asked = what => page.evaluate(what => window.asked.filter(a => a.what === what).length, what);
  await until('longer than a silent session lives', () => page.evaluate(silence => {
    const last = window.asked.findLast(a => a.what !== 'keepalive');
    return performance.now() - last.when > silence;
  }, silence + 1000), { within: 40_000 });
  await page.evaluate(() => window.sockets.at(-1).close());
  await until('the session is claimed', async () => !await page.isVisible('#notice') && await asked('claim') > 0, { within: reclaim });
  assert.equal(await asked('create'), 1);
}

stage.test('a node that crashed and runs again', async () => {
  const ada = await join('Ada', 22), grace = await join('Grace', 22);
  const sees = (page, name) => grows(`frames of ${name}`, () => page.evaluate(name =>
    document.querySelector(`.tile[aria-label="${name}"] video`)?.getVideoPlaybackQuality().totalVideoFrames ?? 0, name), 5);
  await sees(grace, 'Ada');
  await stage.node.kill();
  await until('the page tells of it', async () => (await grace.innerText('#notice')).includes('Reconnecting'));
  await stage.node.run();
  for (const page of [ada, grace]) await until('both are back', async () => !await page.isVisible('#notice') && await page.innerText('#people') === '2 here', { within: 40_000 });
  await sees(grace, 'Ada');
  await sees(ada, 'Grace');
});
