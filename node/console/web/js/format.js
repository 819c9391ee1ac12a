// Numbers for people.

// bits is a bitrate: "7.41 Gbit/s", "1.42 Mbit/s", "86 kbit/s".
export function bits(rate) {
  if (rate >= 1e9) return `${(rate / 1e9).toFixed(rate < 1e10 ? 2 : 1)} Gbit/s`;
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(rate < 1e7 ? 2 : 1)} Mbit/s`;
  return `${Math.round(rate / 1e3)} kbit/s`;
}

// bytes is an amount of memory: "38 MiB".
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

const numbers = new Intl.NumberFormat();

// count is a number of things: "10,000".
export const count = n => numbers.format(n);

export const percent = share => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

export const milliseconds = ms => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`);

// since is how long ago a time was: "3 d 4 h", "12 min".
export function since(time) {
  const s = Math.max(0, (Date.now() - new Date(time)) / 1000);
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

const codecs = { opus: 'Opus', red: 'Opus RED', vp8: 'VP8', vp9: 'VP9', h264: 'H.264', h265: 'H.265', av1: 'AV1' };

// codec is the usual spelling of a codec's name.
export const codec = name => codecs[name] ?? name.toUpperCase();

// initials stand for somebody whose picture is not there.
export function initials(display) {
  const words = display.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map(w => [...w][0].toUpperCase()).join('') || '?';
}
