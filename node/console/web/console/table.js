// Tables that are brought up to date in place: rows keep their identity, so focus and selection stay, and what says the same is not
// touched.
import { make } from '../js/dom.js';

// Table fills a <tbody>.
//   make(item)       returns { element, show(item) } for a new row
//   key(item)        names it
export class Table {
  #body;
  #make;
  #key;
  #rows = new Map();

  constructor(body, { make, key }) {
    this.#body = body;
    this.#make = make;
    this.#key = key;
  }

  show(items) {
    const used = new Set();
    let at = this.#body.firstChild;
    for (const item of items) {
      const key = this.#key(item);
      used.add(key);
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, row = this.#make(item));
      row.show(item);
      if (row.element === at) at = at.nextSibling;
      else this.#body.insertBefore(row.element, at);
    }
    for (const [key, row] of this.#rows) {
      if (used.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
  }
}

// sorter makes the headings of a table buttons that sort by it. `changed` is called with nothing; the choice is { by, down }.
export function sorter(table, choice, changed) {
  const headings = [...table.querySelectorAll('th[data-sort]')];
  const mark = () => {
    for (const th of headings) {
      th.setAttribute('aria-sort', th.dataset.sort !== choice.by ? 'none' : choice.down ? 'descending' : 'ascending');
    }
  };
  for (const th of headings) {
    const button = make('button', { type: 'button', class: 'sort' }, ...th.childNodes);
    button.addEventListener('click', () => {
      const { sort, first } = th.dataset;
      choice.down = choice.by === sort ? !choice.down : first === 'down';
      choice.by = sort;
      mark();
      changed();
    });
    th.replaceChildren(button);
  }
  mark();
}
