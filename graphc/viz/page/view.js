// A pane: one graph, drawn with some boxes open, that can be moved and zoomed.
"use strict";

const NS = "http://www.w3.org/2000/svg";
const LINE = 13, TITLE_LIMIT = 32, DETAIL_LIMIT = 44, MOST_VISIBLE = 1500;
const [BOX_OF, KIND, HEADING, DETAILS, TYPE, NAME, SCOPE, PLACE, BACKWARD, COPY, WIDTH, HEIGHT, SECONDS, STEPS, BYTES] =
  Array.from({ length: 15 }, (_, i) => i);

function element(name, attributes, parent, text) {
  const made = document.createElementNS(NS, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

const shortened = (text, limit) => (text.length <= limit ? text : text.slice(0, limit - 1) + "\u2026");

class Pane {
  // `marks` is null, or {items, boxes, kind}: what to mark as "added" or "removed".
  constructor(data, graph, { title = "", open = null, marks = null, onChoose, onMessage, onOpen }) {
    Object.assign(this, { data, graph, marks, onChoose, onMessage, onOpen, heat: false, chosen: null, partners: [] });
    this.opened = new Set(open || graph.boxes.flatMap((box, b) => (box.open ? [b] : [])));
    this.opened.add(0);
    this.children = graph.boxes.map(() => []);
    graph.boxes.forEach((box, b) => b && this.children[box.parent].push(b));
    this.within = graph.boxes.map(() => []);
    graph.items.forEach((item, i) => this.within[item[BOX_OF]].push(i));
    this.marked = { items: new Set(marks ? marks.items : []), boxes: new Set(marks ? marks.boxes : []) };
    this.root = document.createElement("div");
    this.root.className = "pane";
    if (title) this.root.append(Object.assign(document.createElement("p"), { textContent: title }));
    this.svg = element("svg", { role: "img", "aria-label": title || "graph" });
    this.root.append(this.svg);
    this.scene = element("g", {}, this.svg);
    this.view = { x: 0, y: 0, scale: 1 };
    this.moves();
  }

  get most() {
    const wholes = this.graph.boxes.filter((box) => box.kind === "group" || box.kind === "body").map((box) => box.seconds || 0);
    return [...wholes, ...this.graph.items.map((item) => item[SECONDS] || 0)].reduce((a, b) => Math.max(a, b), 0);
  }

  visible(opened) {
    let count = 0;
    const walk = (b) => {
      count += this.within[b].length;
      for (const child of this.children[b]) opened.has(child) ? walk(child) : count++;
    };
    walk(0);
    return count;
  }

  open(boxes) {
    const wanted = new Set([...this.opened, ...boxes]);
    if (this.visible(wanted) > MOST_VISIBLE) {
      this.onMessage(`More than ${MOST_VISIBLE.toLocaleString("en")} nodes would be open: open single boxes instead`);
      return false;
    }
    this.opened = wanted;
    return true;
  }

  // Open or close a box, which stays where it is on the screen.
  toggle(b) {
    const before = this.spot(b);
    if (this.opened.has(b)) this.opened.delete(b);
    else if (!this.open([b])) return;
    this.draw();
    const after = this.spot(b);
    if (before && after) {
      this.view.x += (before[0] - after[0]) * this.view.scale;
      this.view.y += (before[1] - after[1]) * this.view.scale;
    }
    this.apply();
    this.onOpen();
  }

  spot(b) {
    return this.spots && this.spots.get("b" + b);
  }

  get level() {
    let level = 0;
    while (level < this.levels && this.atLevel(level + 1).every((b) => this.opened.has(b))) level++;
    return level;
  }

  get levels() {
    return Math.max(0, ...this.graph.boxes.map((box) => (box.row ? 0 : box.level)));
  }

  atLevel(level) {
    return this.graph.boxes.flatMap((box, b) => (b && !box.row && box.level <= level ? [b] : []));
  }

  setLevel(level) {
    const before = this.opened;
    this.opened = new Set([0]);
    if (!this.open(this.atLevel(level))) this.opened = before;
    this.draw();
    this.fit();
    this.onOpen();
  }

  size(type, reference) {
    const extra = this.heat && this.secondsOf(type, reference) ? LINE : 0;
    if (type === ITEM) {
      const item = this.graph.items[reference];
      return [item[WIDTH], item[HEIGHT] + extra];
    }
    const [width, height] = this.graph.boxes[reference].closed;
    return [width, height + extra];
  }

  // What shows the item that a line starts at: itself, or the outermost closed box around it.
  origin(key) {
    const item = key < 0 ? -key - 1 : key;
    let shown = "i" + item;
    for (let b = this.graph.items[item][BOX_OF]; b > 0; b = this.graph.boxes[b].parent) if (!this.opened.has(b)) shown = "b" + b;
    return (key < 0 ? "-" : "") + shown;
  }

  secondsOf(type, reference) {
    return type === ITEM ? this.graph.items[reference][SECONDS] : this.graph.boxes[reference].seconds;
  }

  draw() {
    this.scene.replaceChildren();
    this.spots = new Map();
    this.drawn = { links: [], items: new Map(), boxes: new Map() };
    this.inside = place(this.graph, 0, this.opened, (type, reference) => this.size(type, reference), (key) => this.origin(key));
    const spots = [];
    const walk = (inside, left, top) => {
      spots.push([inside, left, top]);
      for (const [u, below] of inside.below) walk(below, left + inside.centers[u] - below.width / 2, top + inside.tops[u]);
    };
    walk(this.inside, 0, 0);
    const layers = ["boxes", "links", "items"].map(() => element("g", {}, this.scene));
    for (const [inside, left, top] of spots) {
      if (inside.number) this.drawBox(layers[0], inside, left, top);
      this.drawLinks(layers[1], inside, left, top);
      inside.box.units.forEach(([type, reference], u) => {
        if (type === ITEM || (type === BOX && !inside.below.has(u)))
          this.drawItem(layers[2], type, reference, left + inside.centers[u], top + inside.tops[u]);
      });
    }
    this.choose(this.chosen);
    this.apply();
  }

  drawBox(layer, inside, left, top) {
    const box = inside.box, marked = this.marked.boxes.has(inside.number) ? " " + this.marks.kind : "";
    const g = element("g", { class: `box ${box.kind}${marked}`, transform: `translate(${left.toFixed(1)},${top.toFixed(1)})` }, layer);
    g.dataset.box = inside.number;
    element("rect", { width: inside.width.toFixed(1), height: inside.height.toFixed(1), rx: 7 }, g);
    const time = this.heat && box.seconds ? " \u00b7 " + timeText(box.seconds) : "";
    element("text", { class: "name", x: 10, y: 16 }, g, shortened("\u25be " + box.label + time, 2 * TITLE_LIMIT));
    this.spots.set("b" + inside.number, [left + inside.width / 2, top, inside.width, inside.height]);
    this.drawn.boxes.set(inside.number, g);
  }

  drawLinks(layer, inside, left, top) {
    const shown = new Map();
    for (const hop of inside.box.hops) {
      const [upper, lower] = hop, points = [this.end(inside, upper, hop[2], true)];
      for (const u of way(inside, hop).slice(1, -1)) {
        points.push([inside.centers[u], inside.tops[u]], [inside.centers[u], inside.tops[u] + inside.heights[u]]);
      }
      points.push(this.end(inside, lower, hop[2], false));
      for (const number of hop[3]) {
        const [source, target, kind] = this.graph.links[number], name = this.data.links[kind];
        const ends = [upper, lower].map((u) => name !== "body" && this.isEnd(inside, u, target));
        const id = `${name} ${ends} ${upper} ${lower} ${inside.below.has(upper) || inside.below.has(lower) ? hop[2] : ""}`;
        if (!shown.has(id)) {
          const path = element("path", { class: "link " + name, d: curve(points.map(([x, y]) => [x + left, y + top])) }, layer);
          if (ends[0]) path.setAttribute("marker-start", `url(#tip-${name})`);
          if (ends[1]) path.setAttribute("marker-end", `url(#tip-${name})`);
          shown.set(id, { path, links: [] });
          this.drawn.links.push(shown.get(id));
        }
        shown.get(id).links.push(number);
      }
    }
  }

  // Whether a link arrives at this unit: at its item, or at the closed box around it.
  isEnd(inside, unit, target) {
    const [type, reference] = inside.box.units[unit];
    if (type === ITEM) return reference === target;
    if (type !== BOX || inside.below.has(unit)) return false;
    for (let b = this.graph.items[target][BOX_OF]; b > 0; b = this.graph.boxes[b].parent) if (b === reference) return true;
    return false;
  }

  end(inside, unit, key, lower) {
    return [inside.centers[unit] + offset(inside, unit, key, lower), inside.tops[unit] + (lower ? inside.heights[unit] : 0)];
  }

  drawItem(layer, type, reference, x, y) {
    const isBox = type === BOX, [width, height] = this.size(type, reference), seconds = this.secondsOf(type, reference);
    let kind, lines, copy = "", mark = "";
    if (isBox) {
      const box = this.graph.boxes[reference], count = this.marks ? this.markedIn(reference) : 0;
      kind = "closed";
      lines = [shortened(box.label, TITLE_LIMIT), count ? `${count} of ${box.count} ${this.marks.word}` : shortened(box.says, DETAIL_LIMIT)];
      mark = this.marks ? (count ? this.marks.kind : "kept") : "";
    } else {
      const item = this.graph.items[reference];
      kind = this.data.kinds[item[KIND]][0];
      lines = [shortened(item[HEADING], TITLE_LIMIT), ...[item[DETAILS], item[TYPE]].filter(Boolean).map((t) => shortened(t, DETAIL_LIMIT))];
      copy = item[COPY] ? "copy" : "";
      mark = this.marks ? (this.marked.items.has(reference) ? this.marks.kind : "kept") : "";
    }
    const hot = this.heat && seconds;
    if (hot) lines.push(timeText(seconds));
    const classes = ["item", kind, copy, mark, hot ? "hot" : ""].filter(Boolean).join(" ");
    const g = element("g", { class: classes, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})` }, layer);
    g.dataset[isBox ? "closed" : "item"] = reference;
    const style = hot ? { style: `fill:${heatColor(seconds / this.most)}` } : {};
    shape(g, kind, width, height, style);
    lines.forEach((line, n) => element("text", { class: n ? "note" : "head", y: 19 + LINE * n }, g, line));
    this.spots.set((isBox ? "b" : "i") + reference, [x, y, width, height]);
    (isBox ? this.drawn.boxes : this.drawn.items).set(reference, g);
  }

  markedIn(b) {
    let count = this.marked.boxes.has(b) + this.within[b].filter((i) => this.marked.items.has(i)).length;
    for (const child of this.children[b]) count += this.markedIn(child);
    return count;
  }

  // Choose an item or a box: {type, reference}; its lines and its partners are marked.
  choose(what, partners = this.partners) {
    this.chosen = what;
    this.partners = what ? partners : [];
    for (const g of this.scene.querySelectorAll(".chosen,.partner")) g.classList.remove("chosen", "partner");
    for (const link of this.drawn.links) link.path.classList.remove("near");
    if (!what) return;
    const g = (what.type === ITEM ? this.drawn.items : this.drawn.boxes).get(what.reference);
    if (g) g.classList.add("chosen");
    for (const i of this.partners) if (this.drawn.items.has(i)) this.drawn.items.get(i).classList.add("partner");
    const touches = (i) => (what.type === ITEM ? i === what.reference : this.isWithin(i, what.reference));
    for (const link of this.drawn.links) {
      if (link.links.some((n) => touches(this.graph.links[n][0]) !== touches(this.graph.links[n][1]))) link.path.classList.add("near");
    }
  }

  isWithin(i, box) {
    for (let b = this.graph.items[i][BOX_OF]; b >= 0; b = this.graph.boxes[b].parent) if (b === box) return true;
    return false;
  }

  // Open what hides an item or a box, and bring it to the middle.
  reveal(what) {
    const boxes = [];
    for (let b = what.type === ITEM ? this.graph.items[what.reference][BOX_OF] : this.graph.boxes[what.reference].parent; b > 0; b = this.graph.boxes[b].parent) boxes.push(b);
    if (boxes.some((b) => !this.opened.has(b))) {
      if (!this.open(boxes)) return;
      this.draw();
      this.onOpen();
    }
    const spot = this.spots.get((what.type === ITEM ? "i" : "b") + what.reference);
    if (!spot) return;
    const { width, height } = this.svg.getBoundingClientRect();
    this.view.scale = Math.max(this.view.scale, 0.8);
    this.view.x = width / 2 - spot[0] * this.view.scale;
    this.view.y = height / 2 - (spot[1] + Math.min(spot[3], 200) / 2) * this.view.scale;
    this.apply();
  }

  // The scale at which all of it can be seen.
  get wholeScale() {
    const { width, height } = this.svg.getBoundingClientRect();
    return Math.min(width / (this.inside.width + 20), height / (this.inside.height + 20), 1.25);
  }

  // The scale to start with: that of the whole, or one that can be read, where the rest is a drag away.
  get startScale() {
    return Math.max(this.wholeScale, 0.8);
  }

  // Show it at a scale from its top, with its middle, or that of its first box, in the middle.
  fit(scale = this.startScale) {
    const { width, height } = this.svg.getBoundingClientRect();
    const first = this.spot(1), whole = this.inside.width * scale <= width || !first;
    const x = width / 2 - (whole ? this.inside.width / 2 : first[0]) * scale;
    this.view = { scale, x, y: Math.max((height - this.inside.height * scale) / 2, this.marks ? 34 : 8) };
    this.apply();
  }

  apply() {
    const { x, y, scale } = this.view;
    this.scene.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
  }

  moves() {
    const pointers = new Map();
    let moved = 0;
    this.svg.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      moved = 0;
    });
    this.svg.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      const now = [event.clientX, event.clientY], dx = now[0] - last[0], dy = now[1] - last[1];
      moved += Math.abs(dx) + Math.abs(dy);
      if (moved < 4) return;
      if (!this.svg.hasPointerCapture(event.pointerId)) this.svg.setPointerCapture(event.pointerId);
      this.root.classList.add("moving");
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const distance = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
        this.zoom(distance(now) / distance(last), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
      this.view.x += dx / pointers.size;
      this.view.y += dy / pointers.size;
      pointers.set(event.pointerId, now);
      this.apply();
    });
    const leave = (event) => {
      pointers.delete(event.pointerId);
      this.root.classList.remove("moving");
    };
    this.svg.addEventListener("pointerup", leave);
    this.svg.addEventListener("pointercancel", leave);
    this.svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      const step = event.deltaMode ? event.deltaY * 16 : event.deltaY;
      this.zoom(Math.exp(-step * 0.0016), event.clientX, event.clientY);
    }, { passive: false });
    this.svg.addEventListener("click", (event) => {
      if (moved >= 4) return;
      const item = event.target.closest("[data-item]"), closed = event.target.closest("[data-closed]"), box = event.target.closest("[data-box]");
      if (item) this.onChoose(this, { type: ITEM, reference: +item.dataset.item });
      else if (closed) this.onChoose(this, { type: BOX, reference: +closed.dataset.closed });
      else if (box && event.target.classList.contains("name")) this.toggle(+box.dataset.box);
      else if (box) this.onChoose(this, { type: BOX, reference: +box.dataset.box });
      else this.onChoose(this, null);
    });
    this.svg.addEventListener("dblclick", (event) => {
      const box = event.target.closest("[data-closed],[data-box]");
      if (box) this.toggle(+(box.dataset.closed ?? box.dataset.box));
    });
  }

  zoom(factor, clientX, clientY) {
    const { left, top } = this.svg.getBoundingClientRect(), x = clientX - left, y = clientY - top;
    const scale = Math.min(Math.max(this.view.scale * factor, 0.02), 6), by = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by };
    this.apply();
  }
}

function shape(g, kind, width, height, style) {
  const x = -width / 2, name = { class: "shape" };
  if (kind === "variable") {
    const arc = `a${width / 2} 4 0 0 `;
    element("path", { ...name, ...style, d: `M${x} 4${arc}1 ${width} 0V${height - 4}${arc}1 ${-width} 0z` }, g);
    element("path", { ...name, style: "fill:none", d: `M${x} 4${arc}0 ${width} 0` }, g);
    return;
  }
  const size = { width, height, rx: { placeholder: height / 2, constant: 2 }[kind] ?? 6 };
  if (kind === "closed") element("rect", { ...name, ...size, x: x + 4, y: 4 }, g);
  element("rect", { ...name, ...style, ...size, x, y: 0 }, g);
}

function timeText(seconds) {
  for (const [unit, scale] of [["s", 1], ["ms", 1e3], ["\u00b5s", 1e6]])
    if (seconds * scale >= 1) return `${+(seconds * scale).toPrecision(3)} ${unit}`;
  return `${Math.round(seconds * 1e9)} ns`;
}

function bytesText(count) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (count < 1024) return `${unit === "B" || count >= 100 ? Math.round(count) : count.toFixed(1)} ${unit}`;
    count /= 1024;
  }
  return `${count.toFixed(1)} GiB`;
}

// A colour from pale yellow to red for a share of the longest time.
function heatColor(share) {
  const hues = [[255, 243, 196], [255, 209, 102], [249, 132, 74], [229, 56, 59]];
  const at = Math.sqrt(Math.min(Math.max(share, 0), 1)) * (hues.length - 1), lower = Math.min(Math.floor(at), hues.length - 2);
  return `rgb(${hues[lower].map((a, i) => Math.round(a + (hues[lower + 1][i] - a) * (at - lower)))})`;
}
