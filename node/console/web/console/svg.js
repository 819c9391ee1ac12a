// SVG elements, and the small drawings in tables.

// svg returns a new element of SVG.
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const w = 96, h = 24, edge = 2;

// spark draws values of the last minutes as a line, null where there are none. `top` is what the height stands for at least.
export function spark(values, top, label) {
  const most = Math.max(top, ...values.filter(v => v !== null));
  let path = '', area = '', open = false, first = 0;
  const x = i => (i / Math.max(values.length - 1, 1) * w).toFixed(1);
  const y = v => (h - edge - v / (most || 1) * (h - 2 * edge)).toFixed(1);
  values.forEach((v, i) => {
    if (v === null) {
      if (open) area += `L${x(i - 1)} ${h}L${x(first)} ${h}Z`;
      open = false;
      return;
    }
    path += `${open ? 'L' : 'M'}${x(i)} ${y(v)}`;
    area += `${open ? 'L' : 'M'}${x(i)} ${y(v)}`;
    if (!open) first = i;
    open = true;
  });
  if (open) area += `L${x(values.length - 1)} ${h}L${x(first)} ${h}Z`;
  return svg('svg', { class: 'spark', viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label': label, preserveAspectRatio: 'none' },
    svg('path', { class: 'area', d: area }), svg('path', { class: 'stroke', d: path }));
}
