// The console's own page, as a person uses it: by its labels, in several windows.
import assert from 'node:assert/strict';
import { grows, play, until } from '../harness/stage.js';

const stage = play({
  node: () => ({
    videoroom: { rooms: [{ room: 9, publishers: 1, notify_joining: true }, { room: 10, pin: 'open sesame' }] },
  }),
});

// person opens the page in a window of its own. What the page says on the console or throws is an error of the test.
async function person(name, { room, query = '', width = 1280, height = 800, prepare } = {}) {
  const context = await stage.browser.newContext({ viewport: { width, height } });
  const page = await context.newPage();
  const lines = [];
  page.on('console', message => lines.push(`${message.type()} ${message.text()}`));
  page.on('pageerror', err => lines.push(`uncaught ${err.stack}`));
  await prepare?.(page);
  await page.goto(`http://${stage.node.address}:9600/?room=${room}${query}`);
  await page.getByLabel('Your name').fill(name);
  const own = { name, page, lines, record: async () => ({ tiles: await tiles(own) }), close: () => context.close() };
  stage.clients.push(own);
  return own;
}

async function join(who) {
  await who.page.getByRole('button', { name: 'Join' }).click();
  await who.page.getByRole('button', { name: 'Leave' }).waitFor();
  return who;
}

// tiles are what is seen: by the name of each tile its picture's size, the frames shown and the figures beside it.
function tiles({ page }) {
  return page.$$eval('.tile', all => Object.fromEntries(all.map(tile => {
    const video = tile.querySelector('video');
    return [tile.getAttribute('aria-label'), {
      width: video.videoWidth, frames: video.getVideoPlaybackQuality().totalVideoFrames, figures: tile.querySelector('.figures').innerText,
      dark: tile.classList.contains('dark'), muted: tile.classList.contains('muted'),
    }];
  })));
}

const tile = async (who, name) => (await tiles(who))[name] ?? { width: 0, frames: 0, figures: '' };
const plays = (who, name) => grows(`frames of “${name}” that ${who.name} sees`, async () => (await tile(who, name)).frames, 5);
const press = (who, name) => who.page.getByRole('button', { name, exact: true }).click();
const says = (who, text) => until(`${who.name} is told: ${text}`, async () => (await who.page.innerText('#notice')).includes(text));

let rooms = 100;

// call is a room of its own with these people in it.
async function call(...names) {
  const room = rooms++;
  const people = [];
  for (const name of names) people.push(await join(await person(name, { room })));
  return people;
}

stage.test('two see each other, with the figures of the node', async () => {
  const [ada, grace] = await call('Ada', 'Grace');
  await plays(ada, 'Grace');
  await plays(grace, 'Ada');
  assert.equal(await ada.page.innerText('#people'), '2 here');
  await until('figures beside a received stream', async () => {
    const { figures } = await tile(grace, 'Ada');
    return ['VP8', 'bit/s', 'layer', 'Opus', 'lost', 'RTT'].every(word => figures.includes(word));
  });
  await until('the layers that we send', async () => (await tile(grace, 'Grace (you)')).figures.includes('h/m/l'));

  await ada.page.getByRole('button', { name: 'Leave' }).click();
  await until('the tile of the one who left is gone', async () => !('Ada' in await tiles(grace)));
  assert.equal(await grace.page.innerText('#people'), '1 here');
  await join(ada); // the line that is free now takes the new stream
  await plays(grace, 'Ada');
});

stage.test('chat, as text and as nothing else', async () => {
  const [ada, grace] = await call('Ada <i>', 'Grace');
  await plays(grace, 'Ada <i>');
  await press(ada, 'Chat');
  const words = '<img src=x onerror="document.title=1"> & hello';
  await ada.page.getByLabel('Message', { exact: true }).fill(words);
  await until('the message is sent', async () => {
    await ada.page.getByRole('button', { name: 'Send' }).click();
    return await ada.page.locator('.message.own').count() > 0;
  });
  await until('a message not read', async () => await grace.page.innerText('#unread') === '1');
  await grace.page.locator('#open-chat').click();
  assert.equal(await grace.page.innerText('.message .words'), words);
  assert.match(await grace.page.innerText('.message .who'), /^Ada <i>/);
  assert.equal(await grace.page.locator('.message img, .message i').count(), 0);
  assert.equal(await grace.page.isVisible('#unread'), false);
});

stage.test('the screen is a second stream, and comes again after it went', async () => {
  const [ada, grace] = await call('Ada', 'Grace');
  await plays(grace, 'Ada');
  for (let time = 0; time < 2; time++) {
    await ada.page.getByRole('button', { name: 'Share the screen' }).click();
    await plays(grace, 'Ada’s screen');
    await plays(grace, 'Ada');
    await ada.page.getByRole('button', { name: 'Stop sharing the screen' }).click();
    await until('the screen is gone', async () => !('Ada’s screen' in await tiles(grace)));
  }
});

stage.test('others see that the microphone and the camera are off', async () => {
  const [ada, grace] = await call('Ada', 'Grace');
  await plays(grace, 'Ada');
  await ada.page.getByRole('button', { name: 'Mute the microphone' }).click();
  await until('the mark of the muted one', async () => (await tile(grace, 'Ada')).muted);
  await ada.page.getByRole('button', { name: 'Turn the camera off' }).click();
  await until('no picture', async () => (await tile(grace, 'Ada')).dark);
  await ada.page.getByRole('button', { name: 'Turn the camera on' }).click();
  await ada.page.getByRole('button', { name: 'Unmute the microphone' }).click();
  await plays(grace, 'Ada');
  await until('both are on', async () => Object.values(await tile(grace, 'Ada')).every(v => v !== true));
});

stage.test('a viewer chooses the quality', async () => {
  const [, grace] = await call('Ada', 'Grace');
  await plays(grace, 'Ada');
  const quality = grace.page.getByLabel('Quality of Ada');
  await quality.selectOption('Low');
  await until('the low layer', async () => (await tile(grace, 'Ada')).width <= 320 && /layer l/.test((await tile(grace, 'Ada')).figures));
  await quality.selectOption('Best');
  await until('more than the low layer', async () => (await tile(grace, 'Ada')).width > 320);
});

stage.test('a broken connection is made again, and the session claimed', async () => {
  const room = rooms++;
  const ada = await join(await person('Ada', { room }));
  const grace = await join(await person('Grace', {
    room,
    prepare: page => page.addInitScript(() => {
      window.sockets = [];
      window.WebSocket = class extends WebSocket {
        constructor(...args) {
          super(...args);
          window.sockets.push(this);
        }
      };
    }),
  }));
  await plays(ada, 'Grace');
  await grace.page.evaluate(() => window.sockets.at(-1).close());
  await says(grace, 'Reconnecting');
  await until('the notice is gone', async () => !await grace.page.isVisible('#notice'));
  assert.equal(await grace.page.evaluate(() => window.sockets.length), 2);
  await plays(ada, 'Grace');
  assert.equal(await ada.page.innerText('#people'), '2 here'); // nobody came a second time
});

stage.test('a call by relay alone', async () => {
  const room = rooms++;
  const ada = await join(await person('Ada', { room, query: '&relay' }));
  const grace = await join(await person('Grace', { room, query: '&relay' }));
  await plays(ada, 'Grace');
  await plays(grace, 'Ada');
  const metrics = await (await fetch(`http://${stage.node.address}:9600/metrics`)).text();
  assert.ok(Number(/^cardea_turn_to_peer_packets_total (.*)$/m.exec(metrics)[1]) > 0);
});

stage.test('who finds the room full watches, and takes part when there is a place', async () => {
  const ada = await join(await person('Ada', { room: 9 }));
  const grace = await join(await person('Grace', { room: 9 }));
  await says(grace, 'all the publishers');
  await plays(grace, 'Ada');
  await until('the one who watches is named', async () => (await ada.page.innerText('#watchers')).includes('Grace'));
  await ada.page.getByRole('button', { name: 'Leave' }).click();
  await until('nobody else is there', async () => await grace.page.innerText('#people') === '1 here');
  await grace.page.getByRole('button', { name: 'Try again' }).click();
  await until('what the node gets', async () => (await tile(grace, 'Grace (you)')).figures.includes('VP8'));
});

stage.test('a room with a PIN', async () => {
  const ada = await person('Ada', { room: 10 });
  await ada.page.getByRole('button', { name: 'Join' }).click();
  const pin = ada.page.getByLabel('PIN of the room');
  await pin.fill('wrong');
  await ada.page.getByRole('button', { name: 'Join' }).click();
  await ada.page.getByText('does not let you in').waitFor();
  await pin.fill('open sesame');
  await join(ada);
});

stage.test('without a camera one can watch', async () => {
  const room = rooms++;
  const ada = await join(await person('Ada', { room }));
  const viewer = await person('Viewer', {
    room,
    prepare: page => page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', 'NotFoundError'));
    }),
  });
  await viewer.page.getByText('No camera was found').waitFor();
  await join(viewer);
  await plays(viewer, 'Ada');
  await until('the viewer is named', async () => (await ada.page.innerText('#watchers')).includes('Viewer'));
});

stage.test('who refuses camera and microphone is told once, and can watch', async () => {
  const viewer = await person('Viewer', {
    room: rooms++,
    prepare: page => page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    }),
  });
  await viewer.page.getByText('You can join and watch').waitFor();
  assert.match(await viewer.page.innerText('#preview-text'), /^The browser does not allow this page to use the camera and microphone\. [^.]+\. You can join and watch\.$/);
  await join(viewer);
  await viewer.page.getByRole('button', { name: 'Turn the camera on' }).click();
  await says(viewer, 'to use the camera.');
});

stage.test('the state of the node, for whom it is open to', async () => {
  const [ada] = await call('Ada');
  await press(ada, 'Node');
  await ada.page.getByText('Takes new calls').waitFor();
  const text = await ada.page.innerText('#node');
  for (const words of ['sessions', 'streams', 'janus.ws_port', 'Version', 'Mesh', '1 node in 1 region, 0 links from here', 'this node']) {
    assert.ok(text.includes(words), text);
  }

  let asked = 0;
  const stranger = await person('Stranger', {
    room: rooms++,
    prepare: async page => {
      await page.route('**/api/v1/status', route => route.fulfill({ status: 403, body: 'not open to this address' }));
      await page.route('**/api/v1/nodes', route => { asked++; return route.fulfill({ status: 403, body: 'not open to this address' }); });
    },
  });
  await until('the page has asked', async () => await stranger.page.isVisible('#enter'));
  assert.equal(await stranger.page.isVisible('#open-node'), false);
  await join(stranger);
  assert.equal(asked, 0);
});

// What other nodes say of themselves is theirs to choose.
const others = [
  { id: 'b'.repeat(32), name: 'us-1', region: 'us', version: 'v1.2.3', state: 'ready', self: false, load: 0.25, rtt_ms: 81.4, loss: 0.0123, linked: true },
  { id: 'c'.repeat(32), name: '<img src=x onerror="document.title=1">', region: 'us', version: 'v1.2.4', state: 'draining', self: false, load: 0, rtt_ms: 95, linked: false },
  { id: 'a'.repeat(32), name: 'a-node-with-quite-a-long-name-that-has-no-place-to-break.example.org', region: 'eu', version: 'v1.2.3', state: 'ready', self: true, load: 0.031, linked: false },
  { id: 'd'.repeat(32), name: '', version: '', state: 'ready', self: false, load: 1, linked: false },
];

for (const [what, options] of Object.entries({
  'phone in the dark': { width: 320, height: 640, scheme: 'dark' }, 'desktop in the light': { width: 1280, height: 800, scheme: 'light' },
})) {
  stage.test(`the mesh, on a ${what}`, async () => {
    let nodes = others;
    const ada = await person('Ada', {
      room: rooms++, ...options,
      prepare: async page => {
        await page.emulateMedia({ colorScheme: options.scheme });
        await page.route('**/api/v1/nodes', route => (nodes ? route.fulfill({ json: { nodes } }) : route.fulfill({ status: 404, body: '404 page not found' })));
      },
    });
    await press(ada, 'Node');
    const table = ada.page.getByRole('table');
    await table.waitFor();
    assert.equal(await ada.page.locator('.mesh img').count(), 0);
    const rows = (await table.getByRole('row').allInnerTexts()).map(row => row.split(/\s*[\n\t]\s*/).filter(Boolean).join(' | '));
    assert.deepEqual(rows, [
      'Node | Load | RTT | Loss',
      'eu',
      `${others[2].name} | ready, this node, v1.2.3 | 3.1 % | – | –`,
      'us',
      `${others[1].name} | draining, no link, v1.2.4 | 0 % | 95 ms | –`,
      'us-1 | ready, linked, v1.2.3 | 25 % | 81 ms | 1.2 %',
      'Without a region',
      'dddddd | ready, no link | 100 % | – | –',
    ]);
    assert.match(await ada.page.innerText('#node'), /4 nodes in 3 regions, 1 link from here/);
    const outside = await ada.page.evaluate(() => {
      const panel = document.getElementById('node');
      const right = panel.getBoundingClientRect().right;
      return [...panel.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > right + 1).map(e => e.textContent)
        .concat(panel.scrollWidth > panel.clientWidth ? ['the panel'] : []);
    });
    assert.deepEqual(outside, []);
    const pale = await ada.page.evaluate(() => {
      const luminance = colour => {
        const [r, g, b] = colour.match(/[\d.]+/g).map(v => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = luminance(getComputedStyle(document.getElementById('panel')).backgroundColor);
      return [...document.querySelectorAll('.mesh th, .mesh td, .mesh span')].filter(e => {
        const text = luminance(getComputedStyle(e).color);
        return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05) < 4.5;
      }).map(e => e.textContent);
    });
    assert.deepEqual(pale, []);

    nodes = others.slice(0, 1); // the others are gone
    await until('the list is up to date', async () => /1 node in 1 region/.test(await ada.page.innerText('#node')));
    nodes = undefined; // a node that knows no others
    await until('no list', async () => await table.count() === 0);
    assert.ok((await ada.page.innerText('#node')).includes('Takes new calls'));
    assert.deepEqual(ada.lines.filter(line => /^(uncaught|warning)/.test(line)), []);
  });
}

for (const [what, size] of Object.entries({ phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } })) {
  stage.test(`nothing is cut off on a ${what}`, async () => {
    const room = rooms++;
    const ada = await join(await person('Ada', { room }));
    const grace = await join(await person('Grace with quite a long name for a person', { room, ...size }));
    await plays(grace, 'Ada');
    const wide = await grace.page.evaluate(() => [...document.querySelectorAll('body *')]
      .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)
      .map(e => `${e.tagName} ${e.id || e.className}`));
    assert.deepEqual(wide, []);
    const small = await grace.page.evaluate(() => [...document.querySelectorAll('button, select, input')]
      .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 44).map(e => e.id || e.className));
    assert.deepEqual(small, []);
    assert.deepEqual(grace.lines.filter(line => /^(error|uncaught|warning)/.test(line)), []);
    assert.deepEqual(ada.lines.filter(line => /^(error|uncaught|warning)/.test(line)), []);
  });
}
