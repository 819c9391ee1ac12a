// The tiles: who is seen, and what the node sees beside them.
import { icon, make, name, write } from './dom.js';
import { initials } from './format.js';

const gap = 12;
const belowHeight = 52;
const thumbnail = 208; // width of the tiles beside an enlarged one
const least = 250; // width of a tile before the floor is scrolled
const ratio = 16 / 9;

// Stage keeps the tiles in step with what is to be shown, and as large as there is room for.
export class Stage {
  #element;
  #template;
  #tiles = new Map(); // by key
  #enlarged = null; // key
  #sink = '';
  #choose;
  #came;

  // choose(key, quality) is called when somebody picks a quality, came() when a tile that was coming plays.
  constructor(element, template, choose, came) {
    this.#element = element;
    this.#template = template;
    this.#choose = choose;
    this.#came = came;
    new ResizeObserver(() => this.layout()).observe(element);
  }

  // show makes the tiles those of the list, in its order. An entry is
  //   { key, display, own, watching, screen, video, audio, dark, muted, talking, layered, quality, coming }
  // with tracks or null for video and audio. watching says that nobody sees it, and coming that it is not to be seen or heard before
  // the one that it takes the place of goes.
  show(list) {
    const keys = new Set(list.map(e => e.key));
    for (const [key, tile] of this.#tiles) {
      if (keys.has(key)) continue;
      tile.remove();
      this.#tiles.delete(key);
      if (this.#enlarged === key) this.#enlarged = null;
    }
    for (const entry of list) {
      let tile = this.#tiles.get(entry.key);
      if (!tile) {
        tile = new Tile(this.#template, {
          enlarge: () => this.#enlarge(entry.key),
          choose: quality => this.#choose(entry.key, quality),
          came: this.#came,
        });
        tile.speaker(this.#sink);
        this.#tiles.set(entry.key, tile);
        if (entry.screen && !entry.own && !entry.coming) this.#enlarged = entry.key; // what somebody shows is to be read
      }
      tile.show(entry);
    }
    const order = [...this.#tiles.entries()].sort(([a], [b]) => list.findIndex(e => e.key === a) - list.findIndex(e => e.key === b));
    order.forEach(([, tile], i) => {
      if (this.#element.children[i] !== tile.element) this.#element.insertBefore(tile.element, this.#element.children[i] ?? null);
    });
    this.layout();
  }

  // plays tells whether a tile has something to show.
  plays(key) { return this.#tiles.get(key)?.plays ?? false; }

  clearFigures() {
    for (const tile of this.#tiles.values()) tile.figures([]);
  }

  figures(key, list) { this.#tiles.get(key)?.figures(list); }
  talking(key, talking) { this.#tiles.get(key)?.talking(talking); }

  // speaker plays everything on an output device.
  speaker(id) {
    this.#sink = id;
    for (const tile of this.#tiles.values()) tile.speaker(id);
  }

  // play tries again what the browser did not play because nobody had touched the page.
  play() {
    for (const tile of this.#tiles.values()) tile.play();
  }

  layout() {
    const { clientWidth, clientHeight } = this.#element;
    const width = clientWidth - 8, height = clientHeight - 8; // less the padding
    const tiles = [...this.#tiles.values()].filter(t => !t.coming), n = tiles.length;
    if (n === 0 || width <= 0 || height <= 0) return;
    const below = getComputedStyle(tiles[0].below).display === 'none' ? 0 : belowHeight;
    const enlarged = this.#tiles.get(this.#enlarged);
    const half = (width - gap) / 2; // two in a row are what a phone has room for
    let common;
    if (enlarged && n > 1) {
      common = Math.min(thumbnail, half);
      const rest = common / ratio + below + gap;
      enlarged.width(Math.min(width, Math.max(least, (height - rest - below) * ratio)));
    } else {
      const crowded = half < least && n > 3;
      common = crowded ? half : widthOf(n, width, height, below, Math.min(least, half));
      enlarged?.width(common);
    }
    for (const tile of tiles) {
      if (tile !== enlarged) tile.width(common);
      tile.enlarged(tile === enlarged && n > 1, n > 1);
      tile.element.classList.toggle('first', tile === enlarged && n > 1);
    }
  }

  #enlarge(key) {
    this.#enlarged = this.#enlarged === key ? null : key;
    this.layout();
  }
}

// widthOf is the largest width at which all tiles fit, but no less than the least.
function widthOf(n, width, height, below, least) {
  let best = 0;
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    const wide = (width - gap * (columns - 1)) / columns;
    const high = ((height - gap * (rows - 1)) / rows - below) * ratio;
    best = Math.max(best, Math.min(wide, high));
  }
  return Math.floor(Math.min(width, Math.max(best, least)));
}

// Tile is one of them.
class Tile {
  #video;
  #figures;
  #select;
  #name;
  #face;
  #enlarge;
  #tracks = [];
  coming = false;

  constructor(template, { enlarge, choose, came }) {
    this.element = template.content.cloneNode(true).querySelector('.tile');
    const find = selector => this.element.querySelector(selector);
    this.#video = find('video');
    this.#figures = find('.figures');
    this.#select = find('select');
    this.#name = find('.name-text');
    this.#face = find('.face');
    this.#enlarge = find('.enlarge');
    this.below = find('.below');
    this.#enlarge.addEventListener('click', enlarge);
    this.#video.addEventListener('timeupdate', () => { if (this.coming && this.plays) came(); });
    this.#select.addEventListener('change', () => choose(Number(this.#select.value)));
  }

  remove() {
    this.#video.srcObject = null;
    this.element.remove();
  }

  // plays tells whether the picture, or the sound alone, moves.
  get plays() { return this.#tracks.length > 0 && this.#video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && this.#video.currentTime > 0; }

  show({ display, own, watching, screen, video, audio, dark, muted, talking, layered, quality, coming }) {
    const tracks = [video, audio].filter(Boolean);
    if (tracks.length !== this.#tracks.length || tracks.some((t, i) => t !== this.#tracks[i])) {
      this.#tracks = tracks;
      this.#video.srcObject = tracks.length > 0 ? new MediaStream(tracks) : null;
      this.play();
    }
    this.coming = Boolean(coming);
    this.#video.muted = Boolean(own || coming);
    const { classList } = this.element;
    classList.toggle('coming', this.coming);
    classList.toggle('screen', Boolean(screen));
    classList.toggle('dark', Boolean(dark || !video));
    classList.toggle('muted', Boolean(muted));
    classList.toggle('layered', Boolean(layered));
    this.#video.classList.toggle('mirrored', Boolean(own && !screen));
    this.talking(talking);
    const me = watching ? `${display} (you, not seen by others)` : `${display} (you)`;
    const whose = own ? (screen ? 'Your screen' : me) : screen ? `${display}’s screen` : display;
    write(this.#name, whose);
    this.element.setAttribute('aria-label', whose);
    this.#label = whose;
    write(this.#face, initials(display));
    this.element.style.setProperty('--hue', hue(display));
    this.#select.parentElement.hidden = !layered;
    if (layered) this.#select.value = `${quality}`;
    this.#select.setAttribute('aria-label', `Quality of ${whose}`);
  }

  #label = '';

  talking(talking) { this.element.classList.toggle('talking', Boolean(talking)); }

  figures(list) {
    const spans = list.map(({ label, value, unit, title, more, needed, bad }) => make(
      'span', { class: `figure${more ? ' more' : ''}${needed ? ' needed' : ''}${bad ? ' bad' : ''}`, title },
      ...(label ? [`${label} `] : []), make('b', {}, value), ...(unit ? [` ${unit}`] : []),
    ));
    this.#figures.replaceChildren(...spans);
  }

  // width is rounded so that the picture's height is whole pixels too.
  width(px) { this.element.style.setProperty('--tile-width', `${Math.floor(px / 16) * 16}px`); }

  enlarged(is, can) {
    this.#enlarge.hidden = !can;
    this.#enlarge.setAttribute('aria-pressed', `${is}`);
    name(this.#enlarge, is ? `Show ${this.#label} as large as the others` : `Enlarge ${this.#label}`);
    icon(this.#enlarge, 'enlarge');
  }

  speaker(id) { this.#video.setSinkId?.(id).catch(err => console.warn('speaker:', err)); }

  play() {
    this.#video.play().catch(err => {
      if (err.name === 'NotAllowedError') dispatchEvent(new Event('sound-blocked'));
    });
  }
}

// hue gives everybody a colour of their own.
function hue(display) {
  let h = 0;
  for (const c of display) h = (h * 31 + c.codePointAt(0)) % 360;
  return `${h}`;
}
