// A reading of every curve under the pointer; a click on a line of the legend hides its curve.
'use strict';
const time = ns => {
  const [by, unit] = ns < 1e3 ? [1, 'ns'] : ns < 1e6 ? [1e3, 'us'] : ns < 1e9 ? [1e6, 'ms'] : [1e9, 's'];
  const value = ns / by;
  return value.toFixed(value % 1 === 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0) + ' ' + unit;
};
const percent = nine => {
  const value = 100 - 100 * Math.pow(10, -nine);
  return value.toFixed(Math.max(1, Math.ceil(nine) - 1)) + ' %';
};
for (const figure of document.querySelectorAll('figure.plot')) {
  const svg = figure.querySelector('svg');
  const tip = figure.querySelector('.tip');
  const hair = svg.querySelector('.hair');
  const [left, right, nines] = ['left', 'right', 'nines'].map(name => Number(svg.dataset[name]));
  const curves = [...svg.querySelectorAll('path[data-points]')].map(path => ({
    path,
    points: path.dataset.points.split(';').filter(Boolean).map(point => point.split(',').map(Number)),
  }));
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    if (x < left || x > right) { return hide(); }
    const nine = (x - left) / (right - left) * nines;
    hair.setAttribute('x1', x);
    hair.setAttribute('x2', x);
    hair.style.visibility = 'visible';
    tip.replaceChildren(document.createElement('b'));
    tip.firstChild.textContent = percent(nine);
    for (const { path, points } of curves) {
      const reached = points.find(point => point[0] >= nine);
      if (!reached || path.classList.contains('off')) { continue; }
      const line = document.createElement('div');
      const key = document.createElement('i');
      key.className = [...path.classList].find(name => /^c\d$|^floor$/.test(name)) || '';
      line.append(key, time(reached[1]) + '  ' + path.dataset.name);
      tip.append(line);
    }
    tip.style.display = 'block';
    const at = event.clientX - box.left;
    tip.style.left = Math.min(at + 14, Math.max(0, box.width - tip.offsetWidth - 4)) + 'px';
  });
  const hide = () => {
    tip.style.display = 'none';
    hair.style.visibility = 'hidden';
  };
  svg.addEventListener('pointerleave', hide);
  const legend = figure.nextElementSibling;
  for (const row of legend.querySelectorAll('tr[data-curve]')) {
    row.style.cursor = 'pointer';
    row.addEventListener('click', () => {
      row.classList.toggle('off');
      svg.querySelector(`path[data-curve="${row.dataset.curve}"]`).classList.toggle('off');
    });
  }
}
