'use strict';
// The page of `elbo serve`. It draws nothing of the runs itself: charts and pictures come from the
// program, and are asked for again when the stream of events says that a run has changed.

const $ = id => document.getElementById(id);
const state = { runs: [], shown: null, version: null, compared: [], explored: null };

// element makes an element with a text, or with other elements in it.
function element(name, properties = {}, ...inside) {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...inside);
  return e;
}

const nats = v => v === undefined || v === null ? '–' : v.toFixed(2).replace('-', '−');

// text fetches a text; what the program refuses is an error with its words.
async function fetched(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) {
    let words = response.statusText;
    try { words = (await response.json()).error; } catch (e) { /* no words */ }
    throw new Error(words);
  }
  return response;
}

const address = (path, values) => path + '?' + new URLSearchParams(values);

const post = (path, value, signal) => fetched(path, {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value), signal,
});

// ---- the list ----

function listRuns() {
  const chosen = new Set([...document.querySelectorAll('#runs input:checked')].map(i => i.value));
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : undefined;
  $('runs').replaceChildren(...state.runs.map(r => {
    const box = element('input', { type: 'checkbox', value: r.name, checked: chosen.has(r.name) });
    box.setAttribute('aria-label', 'compare ' + r.name);
    box.dataset.key = 'box ' + r.name;
    box.addEventListener('change', chooseCompared);
    const link = element('a', { href: '#run=' + encodeURIComponent(r.name), textContent: r.name });
    link.dataset.key = 'link ' + r.name;
    if (r.name === state.shown) link.setAttribute('aria-current', 'page');
    const passes = r.of ? `, ${r.done}/${r.of} ${r.unit}s` : '';
    const bound = r.bound ? `, ${nats(r.bound.value)}` + (r.validated ? ` ± ${r.bound.se.toFixed(2)}` : '') : '';
    return element('li', {}, box, link, element('small', { textContent: (r.fault || r.state) + (r.fault ? '' : passes + bound) }));
  }));
  if (focused) {
    const again = [...document.querySelectorAll('#runs [data-key]')].find(e => e.dataset.key === focused);
    if (again) again.focus();
  }
  chooseCompared();
}

function chooseCompared() {
  const n = document.querySelectorAll('#runs input:checked').length;
  $('compare').disabled = n < 2;
}

// ---- routes ----

function route() {
  const [what, value] = location.hash.slice(1).split('=');
  const names = (value || '').split('|').map(decodeURIComponent), name = names[0];
  for (const section of ['none', 'run', 'compared', 'explorer']) $(section).hidden = true;
  state.shown = null;
  state.version = null;
  if (what === 'run' && name) { state.shown = name; $('run').hidden = false; showRun(); }
  else if (what === 'compare' && name) { state.compared = names; $('compared').hidden = false; showCompared(); }
  else if (what === 'explore' && name) { state.shown = name; $('explorer').hidden = false; explore(name); }
  else $('none').hidden = false;
  listRuns();
}

// ---- a run ----

const charts = [['bound', 'The bound'], ['recon', 'Reconstruction'], ['kl', 'Divergence'], ['speed', 'Images a second']];

// draw puts a chart, or why there is none, into a figure. The program lays it out for the width that
// it has, so that texts keep their size on a telephone.
async function draw(figure, values) {
  figure.asked = values;
  values = [...values, ['width', Math.max(260, figure.querySelector('div').clientWidth || 560)]];
  try {
    const svg = await (await fetched(address('chart', values))).text();
    figure.querySelector('div').innerHTML = svg; // by this program, which escapes names
  } catch (e) {
    figure.querySelector('div').textContent = e.message;
  }
}

let resized = 0;
addEventListener('resize', () => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    for (const figure of document.querySelectorAll('figure[data-of]')) if (figure.asked && figure.checkVisibility()) draw(figure, figure.asked);
  }, 100);
});

function chartFigures(parent, all) {
  if (parent.childElementCount) return;
  for (const [of, title] of all) {
    const figure = element('figure', {}, element('div'), element('figcaption', { textContent: title }));
    figure.dataset.of = of;
    parent.append(figure);
  }
}

async function showRun() {
  const name = state.shown, listed = state.runs.find(r => r.name === name);
  if (!listed) {
    $('run-name').textContent = name;
    $('run-about').textContent = state.runs.length ? 'There is no such run in the directory.' : '';
    return;
  }
  if (listed.version === state.version) return;
  const fresh = state.version === null;
  state.version = listed.version;
  let run;
  try { run = await (await fetched(address('run', { run: name }))).json(); } catch (e) { $('run-about').textContent = e.message; return; }
  if (state.shown !== name) return;
  $('run-name').textContent = name;
  $('run-about').textContent = run.fault || `${run.description}, on ${run.data.split('/').pop()}`;
  const cells = [['State', run.state]];
  if (run.of) cells.push([run.unit[0].toUpperCase() + run.unit.slice(1) + 's', `${run.done} of ${run.of}`]);
  if (run.last) cells.push([`Bound, last (${run.last.on})`, `${nats(run.last.bound)}${run.last.se ? ' ± ' + run.last.se.toFixed(2) : ''}`], ['Reconstruction', nats(run.last.recon)], ['KL', nats(run.last.kl)]);
  if (run.best) cells.push(['Best bound', `${nats(run.best.bound)} at ${run.best.pass}`]);
  if (run.speed[0]) cells.push(['Images a second', Math.round(run.speed[0]).toLocaleString('en')], ['Time left', run.speed[1] < 90 ? Math.round(run.speed[1]) + ' s' : Math.round(run.speed[1] / 60) + ' min']);
  $('run-figures').replaceChildren(...cells.map(([term, value]) => element('div', {}, element('dt', { textContent: term }), element('dd', { textContent: value }))));
  $('to-explore').hidden = !run.explore;
  $('to-explore').onclick = () => { location.hash = 'explore=' + encodeURIComponent(name); };
  if (fresh) $('kl').hidden = true;
  $('to-report').hidden = !run.report;
  if (run.report) $('to-report').href = address('report', { run: name });
  $('rate').hidden = $('rate-title').hidden = !run.explore || run.model === 'mixture';
  $('rate').onclick = () => rate(name);
  if (!$('kl').hidden) rate(name);
  chartFigures($('run-charts'), charts);
  for (const figure of $('run-charts').children) draw(figure, [['run', name], ['of', figure.dataset.of]]);
  const source = file => address('picture', { run: name, file, version: run.version });
  $('run-pictures').replaceChildren(...run.pictures.map(file => element('figure', {}, element('img', { src: source(file), alt: file.replace('.png', '') + ' of ' + name }), element('figcaption', { textContent: file }))));
  $('messages').replaceChildren(...run.messages.map(text => element('li', { textContent: text })));
  $('config').textContent = run.config;
}

async function rate(name) {
  try {
    const all = await (await fetched(address('kl', { run: name }))).json();
    const most = Math.max(...all.map(d => d.kl || 0), 1e-9);
    $('kl').tBodies[0].replaceChildren(...all.map(d => {
      const bar = element('meter', { min: 0, max: most, value: d.kl || 0 });
      bar.setAttribute('aria-label', `KL of dimension ${d.at + 1}`);
      const head = element('th', { textContent: 'z' + (d.at + 1) });
      head.scope = 'row';
      return element('tr', {}, head, element('td', {}, bar), element('td', { textContent: d.kl === undefined ? 'not known' : d.kl.toFixed(3) }));
    }));
    $('kl').hidden = false;
  } catch (e) {
    $('kl').tBodies[0].replaceChildren(element('tr', {}, element('td', { textContent: e.message })));
    $('kl').hidden = false;
  }
}

// ---- several runs ----

function showCompared() {
  chartFigures($('compared-charts'), charts);
  const over = document.querySelector('input[name=over]:checked').value;
  for (const figure of $('compared-charts').children) {
    draw(figure, [...state.compared.map(run => ['run', run]), ['of', figure.dataset.of], ['over', over]]);
  }
}

// ---- the explorer ----

// latest runs f for the newest call alone: what was asked before and is not answered yet is given up.
function latest(f) {
  let controller = null;
  return async (...values) => {
    if (controller) controller.abort();
    const own = controller = new AbortController();
    try {
      await f(own.signal, ...values);
      $('explorer-fault').hidden = true;
    } catch (e) {
      if (e.name === 'AbortError') return;
      $('explorer-fault').textContent = e.message;
      $('explorer-fault').hidden = false;
    }
  };
}

// paint puts a PNG on a canvas, pixel by pixel.
async function paint(canvas, blob) {
  const bitmap = await createImageBitmap(blob);
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
}

const decode = latest(async signal => {
  const x = state.explored;
  const response = await post('decode', { run: x.run, z: [x.z] }, signal);
  await paint($('decoded'), await response.blob());
  $('decoded').dataset.z = JSON.stringify(x.z);
});

const explore = latest(async (signal, name) => {
  $('explorer-name').textContent = name;
  $('explorer-about').textContent = 'opening the model…';
  for (const id of ['walk', 'states', 'way', 'plane-figure', 'posterior-figure', 'scored', 'reconstructed', 'between']) $(id).hidden = true;
  for (const id of ['known', 'likely', 'state-list', 'sliders']) $(id).replaceChildren();
  const x = await (await post('explore', { run: name }, signal)).json();
  x.run = name;
  state.explored = x;
  $('explorer-about').textContent = `${x.description}; images of the ${x.of} part by number`;
  for (const id of ['number', 'from', 'to']) $(id).max = x.images - 1;
  blank();
  $('drawing-figure').hidden = x.shape.length > 2;
  if (x.latent) { beginWalk(x); $('way').hidden = false; }
  if (x.states && !x.latent) listStates(x);
});

function beginWalk(x) {
  $('walk').hidden = false;
  x.z = new Array(x.latent).fill(0);
  for (const d of x.kl) x.z[d.at] = d.mean;
  $('sliders').replaceChildren(...x.kl.map(d => {
    const input = element('input', { type: 'range', min: d.lo, max: d.hi, step: 'any', value: d.mean });
    const output = element('output', { textContent: nats(d.mean) });
    input.dataset.at = d.at;
    input.addEventListener('input', () => move(d.at, Number(input.value)));
    return element('label', {}, `z${d.at + 1}${d.kl === undefined ? '' : ', KL ' + d.kl.toFixed(2)}`, input, output);
  }));
  if (x.plane) showPlane(x);
  placed();
}

// move sets one number of the code.
function move(at, value) {
  state.explored.z[at] = value;
  placed();
}

// placed shows where the code is, and what it decodes to.
function placed() {
  const x = state.explored;
  for (const input of document.querySelectorAll('#sliders input')) {
    const v = x.z[input.dataset.at];
    input.value = v;
    input.nextElementSibling.textContent = nats(v);
  }
  if (x.plane) drawPlane(x);
  decode();
}

async function showPlane(x) {
  $('plane-figure').hidden = false;
  x.background = await createImageBitmap(await (await fetched(address('plane', { run: x.run }))).blob());
  drawPlane(x);
}

function drawPlane(x) {
  const canvas = $('plane'), g = canvas.getContext('2d');
  g.clearRect(0, 0, canvas.width, canvas.height);
  if (x.background) g.drawImage(x.background, 0, 0, canvas.width, canvas.height);
  const [lo1, hi1, lo2, hi2] = x.plane;
  g.font = '600 14px sans-serif'; g.textAlign = 'center'; g.textBaseline = 'middle';
  for (const l of x.labels || []) {
    const at = [l.label, (l.z[0] - lo1) / (hi1 - lo1) * canvas.width, (hi2 - l.z[1]) / (hi2 - lo2) * canvas.height];
    g.lineWidth = 4; g.strokeStyle = '#fff'; g.strokeText(...at);
    g.fillStyle = '#000'; g.fillText(...at);
  }
  const px = (x.z[0] - lo1) / (hi1 - lo1) * canvas.width, py = (hi2 - x.z[1]) / (hi2 - lo2) * canvas.height;
  g.lineWidth = 5; g.strokeStyle = '#fff';
  for (const pass of [0, 1]) {
    g.beginPath(); g.arc(px, py, 8, 0, 2 * Math.PI); g.moveTo(px - 14, py); g.lineTo(px + 14, py); g.moveTo(px, py - 14); g.lineTo(px, py + 14); g.stroke();
    g.lineWidth = 2; g.strokeStyle = '#000';
  }
  $('plane-at').textContent = `z = (${nats(x.z[0])}, ${nats(x.z[1])}).`;
}

function dragPlane(event) {
  const x = state.explored;
  if (!x || !x.plane || !(event.buttons & 1)) return;
  const box = $('plane').getBoundingClientRect(), [lo1, hi1, lo2, hi2] = x.plane;
  const within = v => Math.min(1, Math.max(0, v));
  x.z[0] = lo1 + within((event.clientX - box.left) / box.width) * (hi1 - lo1);
  x.z[1] = hi2 - within((event.clientY - box.top) / box.height) * (hi2 - lo2);
  placed();
}

async function listStates(x) {
  $('states').hidden = false;
  for (const s of x.states) {
    const img = element('img', { alt: `mean image of state ${s.at}` });
    $('state-list').append(element('li', {}, img, `${s.at}: ${(100 * s.weight).toFixed(1)} %`));
    img.src = URL.createObjectURL(await (await post('decode', { run: x.run, state: s.at })).blob());
  }
}

// ---- an image, drawn or taken ----

const pen = { row: 14, col: 14, down: false };

function blank() {
  const x = state.explored;
  if (!x) return;
  [pen.rows, pen.cols] = x.shape;
  pen.pixels = new Array(pen.rows * pen.cols).fill(0);
  pen.row = pen.rows >> 1;
  pen.col = pen.cols >> 1;
  $('drawing').width = pen.cols;
  $('drawing').height = pen.rows;
  drawn();
}

// drawn shows the drawing, and the pen where it is moved by keys.
function drawn() {
  const g = $('drawing').getContext('2d'), image = g.createImageData(pen.cols, pen.rows);
  pen.pixels.forEach((v, i) => image.data.set([255 * v, 255 * v, 255 * v, 255], 4 * i));
  if (document.activeElement === $('drawing')) image.data.set([213, 94, 0, 255], 4 * (pen.row * pen.cols + pen.col));
  g.putImageData(image, 0, 0);
}

// stroke draws a soft dot.
function stroke(row, col) {
  const dots = [[0, 0, 1], [0, 1, 0.8], [1, 0, 0.8], [0, -1, 0.8], [-1, 0, 0.8]];
  for (const [dr, dc, v] of dots) {
    const r = row + dr, c = col + dc;
    if (r >= 0 && c >= 0 && r < pen.rows && c < pen.cols) pen.pixels[r * pen.cols + c] = Math.max(v, pen.pixels[r * pen.cols + c]);
  }
  drawn();
  soon();
}

let waiting = 0;
// soon asks about the drawing when it has rested for a moment.
function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(() => known({ pixels: pen.pixels.map(v => Math.round(v * 255) / 255) }), 120);
}

function pointed(event) {
  if (!(event.buttons & 1) || !state.explored) return;
  const box = $('drawing').getBoundingClientRect();
  stroke(Math.floor((event.clientY - box.top) / box.height * pen.rows), Math.floor((event.clientX - box.left) / box.width * pen.cols));
}

const known = latest(async (signal, what) => {
  const x = state.explored;
  const a = await (await post('infer', { run: x.run, ...what }, signal)).json();
  for (const [id, source] of [['scored', a.image], ['reconstructed', a.reconstruction]]) { $(id).src = source; $(id).hidden = false; }
  const cells = [['ELBO', nats(a.elbo)], ['Reconstruction', nats(a.recon)], ['KL', nats(a.kl)]];
  if (a.l_k !== undefined) cells.push([`L${a.samples}`, nats(a.l_k)]);
  if (a.log_p !== undefined && a.log_p_how !== 'lower bound') cells.push([`log p(x), ${a.log_p_how}`, nats(a.log_p) + (a.log_p_error >= 0.005 ? ' ± ' + a.log_p_error.toFixed(2) : '')]);
  if (a.k_hat !== undefined) cells.push(['k̂ of the weights', a.k_hat.toFixed(2)]);
  if (a.label) cells.unshift(['Label', a.label]);
  $('known').replaceChildren(...cells.map(([term, value]) => element('div', {}, element('dt', { textContent: term }), element('dd', { textContent: value }))));
  $('posterior-figure').hidden = !a.posterior;
  if (a.posterior) $('posterior').innerHTML = a.posterior; // by this program
  $('likely').replaceChildren(...(a.states || []).map(s => element('li', { textContent: `state ${s.at}: p(z|x) ${s.weight.toFixed(4)}` })));
  if (a.mean && x.z && a.mean.length === x.z.length) { x.z = [...a.mean]; placed(); }
});

const between = latest(async signal => {
  const response = await post('between', { run: state.explored.run, from: Number($('from').value), to: Number($('to').value), steps: 10 }, signal);
  $('between').src = URL.createObjectURL(await response.blob());
  $('between').hidden = false;
});

// ---- the beginning ----

$('compare').addEventListener('click', () => {
  const names = [...document.querySelectorAll('#runs input:checked')].map(i => i.value);
  location.hash = 'compare=' + names.map(encodeURIComponent).join('|');
});
for (const radio of document.querySelectorAll('input[name=over]')) radio.addEventListener('change', showCompared);
$('origin').addEventListener('click', () => { for (const d of state.explored.kl) state.explored.z[d.at] = d.mean; placed(); });
$('plane').addEventListener('pointerdown', event => { $('plane').setPointerCapture(event.pointerId); dragPlane(event); });
$('plane').addEventListener('pointermove', dragPlane);
$('plane').addEventListener('keydown', event => {
  const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 1], ArrowDown: [1, -1] }[event.key], x = state.explored;
  if (!by || !x || !x.plane) return;
  event.preventDefault();
  const [lo, hi] = by[0] ? [x.plane[2], x.plane[3]] : [x.plane[0], x.plane[1]];
  move(by[0], Math.min(hi, Math.max(lo, x.z[by[0]] + by[1] * (hi - lo) / 70)));
});
$('drawing').addEventListener('pointerdown', event => { $('drawing').setPointerCapture(event.pointerId); pointed(event); });
$('drawing').addEventListener('pointermove', pointed);
$('drawing').addEventListener('keydown', event => {
  const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (by) {
    pen.row = Math.min(pen.rows - 1, Math.max(0, pen.row + by[0]));
    pen.col = Math.min(pen.cols - 1, Math.max(0, pen.col + by[1]));
    drawn();
  } else if (event.key === ' ') stroke(pen.row, pen.col);
  else return;
  event.preventDefault();
});
for (const type of ['focus', 'blur']) $('drawing').addEventListener(type, () => { if (pen.pixels) drawn(); });
$('take').addEventListener('click', () => known({ image: Number($('number').value) }));
$('clear').addEventListener('click', blank);
$('go').addEventListener('click', () => between());
addEventListener('hashchange', () => { route(); $('main').focus({ preventScroll: true }); });

const events = new EventSource('events');
events.addEventListener('runs', event => {
  const { runs, fault } = JSON.parse(event.data);
  state.runs = runs;
  $('fault').hidden = !fault;
  $('fault').textContent = fault || '';
  const training = runs.filter(r => r.state === 'in training').length;
  $('state').textContent = `${runs.length} run${runs.length === 1 ? '' : 's'}` + (training ? `, ${training} in training` : '');
  listRuns();
  if (!$('run').hidden) showRun();
  if (!$('compared').hidden) showCompared();
});
events.addEventListener('error', () => { $('state').textContent = 'the program does not answer; trying again'; });
route();
