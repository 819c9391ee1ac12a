// The page's elements. Text gets into them as text alone, wherever it came from.

export const $ = id => document.getElementById(id);

// make returns a new element: make('span', { class: 'name' }, 'text', child...). Attributes that are false are left out.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.map(c => (c instanceof Node ? c : String(c))));
  return element;
}

// icon changes the picture of a button.
export function icon(button, name) {
  const href = `#i-${name}`, use = button.querySelector('use');
  if (use.getAttribute('href') !== href) use.setAttribute('href', href);
}

// name gives a button the words that a screen reader says and a pointer shows.
export function name(button, words) {
  button.setAttribute('aria-label', words);
  button.title = words;
}

// write sets an element's text, and leaves it alone when it says that already.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// kept reads and writes what this browser remembers. A browser that remembers nothing is not in the way.
export const kept = {
  get(key) {
    try {
      return localStorage.getItem(`cardea.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`cardea.${key}`, value);
    } catch { /* private windows */ }
  },
};
