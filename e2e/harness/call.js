// A call on the page that nodes serve, as people have it, and what one of them sees and hears of another.

// enter has a page join a room.
export async function enter(page, name, room) {
  await page.fill('#name', name);
  await page.fill('#room', String(room));
  await page.click('#enter');
  await page.waitForSelector('#call:not([hidden])');
}

// expose has a page keep its connections in window.connections, from its next load on.
export function expose(page) {
  return page.addInitScript(() => {
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args) {
        super(...args);
        window.connections.push(this);
      }
    };
  });
}

// media gives the addresses, sorted, of the nodes that an exposed page's connections go to now, and how long the way there and back is, in ms.
export function media(page) {
  return page.evaluate(async () => {
    const addresses = new Set();
    let rtt = 0;
    for (const c of window.connections.filter(c => c.connectionState === 'connected')) {
      const stats = await c.getStats();
      for (const t of stats.values()) {
        const pair = t.type === 'transport' && stats.get(t.selectedCandidatePairId);
        if (!pair) continue;
        addresses.add(stats.get(pair.remoteCandidateId).address);
        rtt = Math.max(rtt, 1000 * (pair.currentRoundTripTime ?? 0));
      }
    }
    return { at: [...addresses].sort(), rtt };
  });
}

// record has an exposed page note when it shows a picture of somebody, and plays his sound, for as long as it is open.
export function record(page, name) {
  return page.evaluate(name => {
    const pictures = [], sounds = [], seen = new WeakSet(), heard = new Map();
    const tiles = () => [...document.querySelectorAll(`.tile[aria-label="${name}"]:not(.coming)`)];
    const shown = video => tiles().some(t => t.contains(video));
    const look = () => {
      for (const video of tiles().map(t => t.querySelector('video'))) {
        if (!video || seen.has(video)) continue;
        seen.add(video);
        const frame = now => {
          if (shown(video)) pictures.push(now);
          video.requestVideoFrameCallback(frame);
        };
        video.requestVideoFrameCallback(frame);
      }
    };
    const listen = () => {
      look();
      for (const tile of tiles()) {
        const video = tile.querySelector('video'), track = video?.srcObject?.getAudioTracks()[0];
        const receiver = track && !video.muted && window.connections.flatMap(c => c.getReceivers()).find(r => r.track === track);
        for (const { source, timestamp } of receiver?.getSynchronizationSources() ?? []) {
          if (heard.get(source) !== timestamp) sounds.push(performance.now());
          heard.set(source, timestamp);
        }
      }
    };
    setInterval(listen, 10);
    const gap = (times, since) => times.filter(t => t >= since).reduce((g, t, i, all) => Math.max(g, i === 0 ? t - since : t - all[i - 1]), 0);
    window.recorded = since => ({ pictures: pictures.length, sounds: sounds.length, picture: gap(pictures, since), sound: gap(sounds, since), last: performance.now() - Math.max(...pictures) });
  }, name);
}

// recorded gives what a recording page noted: how many pictures and sounds there were, how far apart they were at most since a time on the
// page's clock, and how old the last picture is; all in ms.
export const recorded = (page, since = 0) => page.evaluate(s => window.recorded(s), since);
