// Turning the pages of a long list.
import { $, write } from '../js/dom.js';
import { count } from '../js/format.js';

// Pager has the buttons ID-before and ID-after and the words ID-where.
export class Pager {
  offset = 0;
  #id;
  #size;

  constructor(id, size, turned) {
    this.#id = id;
    this.#size = size;
    $(`${id}-before`).addEventListener('click', () => {
      this.offset = Math.max(0, this.offset - size);
      turned();
    });
    $(`${id}-after`).addEventListener('click', () => {
      this.offset += size;
      turned();
    });
  }

  // show says where in the list we are: `shown` of `all`, from the offset on. It returns false if that is beyond the end, and
  // turns back.
  show(shown, all) {
    if (shown === 0 && this.offset > 0) {
      this.offset = Math.max(0, Math.ceil(all / this.#size) - 1) * this.#size;
      return false;
    }
    $(`${this.#id}-before`).disabled = this.offset === 0;
    $(`${this.#id}-after`).disabled = this.offset + shown >= all;
    $(`${this.#id}-where`).parentElement.hidden = all <= this.#size;
    write($(`${this.#id}-where`), `${count(this.offset + 1)} to ${count(this.offset + shown)} of ${count(all)}`);
    return true;
  }
}
