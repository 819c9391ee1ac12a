// The chat. Messages are texts of strangers: they are bounded, and written as text.
import { make } from './dom.js';

const most = 200; // messages that are kept
const longest = 2000; // characters shown of one

// Chat shows messages in a list and counts those that nobody has seen.
export class Chat {
  unread = 0;
  #list;

  constructor(list) { this.#list = list; }

  // said shows a message.
  said(name, text, own, seen) {
    const time = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 80;
    this.#list.append(make('li', { class: own ? 'message own' : 'message' },
      make('div', { class: 'who' }, make('span', {}, own ? 'You' : name || 'Somebody'), make('time', {}, time)),
      make('div', { class: 'words' }, text.slice(0, longest))));
    while (this.#list.children.length > most) this.#list.firstElementChild.remove();
    if (atEnd || own) this.#list.scrollTop = this.#list.scrollHeight;
    if (!own && !seen) this.unread++;
  }
}

// encode and decode are what goes over the data channel: JSON with a text, and from other programs also plain text.
export const encode = text => JSON.stringify({ text });

export function decode(message) {
  try {
    const m = JSON.parse(message);
    if (typeof m?.text === 'string') return m.text;
  } catch { /* plain text */ }
  return message;
}
