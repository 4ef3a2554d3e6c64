// Coordinates of the units of a box: the same rules as in place.py, here for whichever boxes a person has open.
"use strict";

const PADDING = 14, TITLE = 24, ROW_GAP = 34, UNIT_GAP = 22, PORT_GAP = 12, SWEEPS = 10;
const ITEM = 0, BOX = 1, TOP = 2, BOTTOM = 3, BEND = 4;

// The measures of a box and of the open boxes in it. `view.boxes[b]` holds `units` as [type, reference], `rows` of
// numbers of units, and `hops` as [upper unit, lower unit, key, numbers of links]; `size(type, reference)` is [w, h],
// and `origin(key)` names what shows the source of a line: lines from one closed box share their ports.
function place(view, number, opened, size, origin) {
  const box = joined(view.boxes[number], origin), count = box.units.length;
  const inside = {
    number, box, widths: new Array(count).fill(0), heights: new Array(count).fill(0), tops: new Array(count).fill(0),
    centers: new Array(count).fill(0), below: new Map(), ports: new Map(), bends: new Map(), rowOf: new Array(count),
  };
  box.rows.forEach((units, row) => units.forEach((u) => {
    const [type, reference] = box.units[u];
    let wh = [0, 0];
    if (type === BOX && opened.has(reference)) {
      const inner = place(view, reference, opened, size, origin);
      inside.below.set(u, inner);
      wh = [inner.width, inner.height];
    } else if (type === ITEM || type === BOX) wh = size(type, reference);
    [inside.widths[u], inside.heights[u]] = wh;
    inside.rowOf[u] = row;
    if (type === TOP || type === BOTTOM) inside.ports.set(type + ":" + reference, u);
    if (type === BEND) inside.bends.set(reference + ":" + row, u);
  }));
  const near = neighbours(inside);
  placeRows(inside, near, number > 0);
  placeUnits(inside, near);
  let left = Infinity, right = -Infinity;
  for (const u of box.rows.flat()) {
    left = Math.min(left, inside.centers[u] - inside.widths[u] / 2);
    right = Math.max(right, inside.centers[u] + inside.widths[u] / 2);
  }
  if (left > right) left = right = 0;
  left -= PADDING;
  right += PADDING;
  const least = number > 0 ? box.title : 0;
  left -= Math.max(0, least - (right - left)) / 2;
  inside.width = Math.max(right - left, least);
  inside.centers = inside.centers.map((x) => x - left);
  return inside;
}

// A box in which ports with one origin are one, and so are their bends.
function joined(box, origin) {
  const known = new Map(), alias = box.units.map((_, u) => u);
  const join = (u, name) => (alias[u] = known.has(name) ? known.get(name) : (known.set(name, u), u));
  box.rows.forEach((units) => units.forEach((u) => {
    const [type, key] = box.units[u];
    if (type === TOP || type === BOTTOM) join(u, type + ":" + origin(key));
  }));
  box.rows.forEach((units, row) => units.forEach((u) => {
    const [type, of] = box.units[u];
    if (type === BEND) join(u, BEND + ":" + alias[of] + ":" + row);
  }));
  return {
    ...box,
    units: box.units.map(([type, reference]) => [type, type === TOP || type === BOTTOM ? origin(reference) : type === BEND ? alias[reference] : reference]),
    rows: box.rows.map((units) => units.filter((u) => alias[u] === u)),
    hops: box.hops.map(([upper, lower, key, links]) => [alias[upper], alias[lower], origin(key), links]),
  };
}

function way(inside, hop) {
  const units = [hop[0]];
  for (let row = inside.rowOf[hop[0]] + 1; row < inside.rowOf[hop[1]]; row++) units.push(inside.bends.get(hop[0] + ":" + row));
  units.push(hop[1]);
  return units;
}

// How far to the right of a unit's center a line meets it.
function offset(inside, unit, key, lower) {
  const inner = inside.below.get(unit);
  return inner ? inner.centers[inner.ports.get((lower ? BOTTOM : TOP) + ":" + key)] - inner.width / 2 : 0;
}

function neighbours(inside) {
  const pieces = new Map();
  for (const hop of inside.box.hops) {
    const units = way(inside, hop);
    for (let i = 0; i + 1 < units.length; i++) {
      const name = units[i] + ":" + units[i + 1];
      if (!pieces.has(name)) pieces.set(name, [units[i], units[i + 1], 0, 0]);
      const piece = pieces.get(name);
      piece[2] += offset(inside, units[i], hop[2], true) - offset(inside, units[i + 1], hop[2], false);
      piece[3] += 1;
    }
  }
  const above = inside.box.units.map(() => []), below = inside.box.units.map(() => []);
  const isBend = (u) => inside.box.units[u][0] === BEND;
  for (const [upper, lower, sum, n] of pieces.values()) {
    const weight = [1, 2, 8][isBend(upper) + isBend(lower)];
    above[lower].push([upper, weight, sum / n]);
    below[upper].push([lower, weight, -sum / n]);
  }
  return [above, below];
}

function placeRows(inside, [above, below], boxed) {
  const { box, heights, tops } = inside, type = (u) => box.units[u][0];
  const isPort = (u) => type(u) === TOP || type(u) === BOTTOM;
  let y = boxed ? TITLE : PADDING;
  for (const units of box.rows) {
    if (units.every(isPort)) {
      const side = units.some((u) => type(u) === TOP) ? 0 : y;
      for (const u of units) tops[u] = side;
      if (!side) y += PADDING;
      continue;
    }
    const height = Math.max(...units.map((u) => heights[u]));
    for (const u of units) {
      const share = !above[u].length ? 1 : !below[u].length ? 0 : 0.5;
      tops[u] = y + (height - heights[u]) * share;
      if (type(u) === BEND) [tops[u], heights[u]] = [y, height];
    }
    y += height + ROW_GAP;
  }
  const last = box.rows.length ? box.rows[box.rows.length - 1] : [];
  const endsInPorts = last.length > 0 && last.every(isPort);
  inside.height = endsInPorts && boxed ? y : y - ROW_GAP + PADDING;
  if (endsInPorts) for (const u of last) tops[u] = inside.height;
}

function placeUnits(inside, near) {
  const { box, widths, centers } = inside;
  for (const units of box.rows) {
    let x = 0;
    for (const u of units) {
      centers[u] = x + widths[u] / 2;
      x += widths[u] + UNIT_GAP;
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const downward = sweep % 2 === 0;
    const sides = sweep >= SWEEPS - 2 ? near : [near[downward ? 0 : 1]];
    for (const units of downward ? box.rows : [...box.rows].reverse()) {
      const wishes = [], weights = [], gaps = [];
      units.forEach((u, i) => {
        let weight = 0, sum = 0;
        for (const side of sides) for (const [other, w, shift] of side[u]) {
          weight += w;
          sum += (centers[other] + shift) * w;
        }
        wishes.push(weight ? sum / weight : centers[u]);
        weights.push(weight || 0.01);
        if (i) {
          const both = widths[units[i - 1]] + widths[u];
          gaps.push(both / 2 + (both ? UNIT_GAP : PORT_GAP));
        }
      });
      apart(wishes, weights, gaps).forEach((x, i) => (centers[units[i]] = x));
    }
  }
}

// The places nearest to the wishes, by weighted squares, that are at least the gaps apart.
function apart(wishes, weights, gaps) {
  const offsets = [0], blocks = [], places = [];
  for (const gap of gaps) offsets.push(offsets[offsets.length - 1] + gap);
  wishes.forEach((wish, i) => {
    let block = [wish - offsets[i], weights[i], 1];
    while (blocks.length && blocks[blocks.length - 1][0] > block[0]) {
      const [mean, heavy, count] = blocks.pop(), total = heavy + block[1];
      block = [(mean * heavy + block[0] * block[1]) / total, total, count + block[2]];
    }
    blocks.push(block);
  });
  for (const [mean, , count] of blocks) for (let i = 0; i < count; i++) places.push(mean + offsets[places.length]);
  return places;
}

// A path through points that leaves and enters each of them vertically.
function curve(points) {
  let text = `M${points[0][0].toFixed(1)} ${points[0][1].toFixed(1)}`;
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i], middle = (y0 + y1) / 2;
    text += Math.abs(x0 - x1) < 0.5
      ? `L${x1.toFixed(1)} ${y1.toFixed(1)}`
      : `C${x0.toFixed(1)} ${middle.toFixed(1)} ${x1.toFixed(1)} ${middle.toFixed(1)} ${x1.toFixed(1)} ${y1.toFixed(1)}`;
  }
  return text;
}
