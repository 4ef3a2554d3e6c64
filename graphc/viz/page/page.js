// The page around the panes: tabs, panel, search, schedule, keys.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };
  const changes = (side) => side.items.length + side.boxes.length;
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  const kept = {};
  let panes = [], heat = false, tab = "";

  const schedule = $("schedule");
  schedule.innerHTML = data.schedule || "<p>The schedule and the memory plan need the sizes of the arguments: call the function before the report is made, or give the report some arguments.</p>";
  const arrows = element("defs", {}, element("svg", { width: 0, height: 0, style: "position:absolute" }, document.body));
  for (const kind of ["value", "update"]) {
    const marker = element("marker", { id: "tip-" + kind, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, arrows);
    element("path", { class: "tip " + kind, d: "M0 .8L8 4L0 7.2z" }, marker);
  }

  // --- tabs -------------------------------------------------------------------------------------------------------

  const tabs = { ...Object.fromEntries(Object.keys(data.views).map((name) => [name, () => showGraph(name)])), schedule: () => {} };
  if (data.passes.length) tabs.passes = showPass;
  const names = { written: "As written", differentiated: "Differentiated", fused: "Fused", schedule: "Schedule and memory", passes: "Passes" };
  for (const name in tabs) {
    const button = make("button", { textContent: names[name], onclick: () => show(name) });
    button.setAttribute("role", "tab");
    button.dataset.tab = name;
    $("tabs").append(button);
  }
  data.passes.forEach((pass, number) => {
    $("pass").append(make("option", { value: number, textContent: `${pass.name}: ${changes(pass.before)} gone, ${changes(pass.after)} new` }));
  });
  $("pass").onchange = () => show("passes");

  function show(name) {
    if (panes.length) kept[tab] = panes;
    tab = name;
    for (const button of $("tabs").children) button.setAttribute("aria-selected", button.dataset.tab === name);
    $("pass").hidden = name !== "passes";
    $("panes").hidden = name === "schedule";
    schedule.hidden = name !== "schedule";
    $("panes").replaceChildren();
    panes = [];
    closePanel();
    tabs[name]();
    refresh();
  }

  const wiring = { onChoose: choose, onMessage: message, onOpen: refresh };

  function showPanes(made) {
    panes = made;
    $("panes").append(...panes.map((pane) => pane.root));
    const fresh = panes.filter((pane) => !pane.inside);
    for (const pane of panes) {
      pane.heat = heat && timed(pane);
      pane.draw();
    }
    const scale = Math.min(...fresh.map((pane) => pane.startScale));
    for (const pane of fresh) pane.fit(scale);
  }

  function showGraph(name) {
    showPanes(kept[name] || [new Pane(data, data.graphs[data.views[name]], wiring)]);
  }

  function showPass() {
    const pass = data.passes[+$("pass").value || 0];
    const sides = [["before", "removed", "gone"], ["after", "added", "new"]];
    showPanes(sides.map(([side, kind, word]) => {
      const { graph, items, boxes, open } = pass[side], nodes = data.graphs[graph].items.filter((item) => !item[COPY]).length;
      const title = `${side} ${pass.name}: ${plural(nodes, "node")}, ${changes(pass[side])} ${word}`;
      return new Pane(data, data.graphs[graph], { ...wiring, title, open, marks: { items, boxes, kind, word } });
    }));
  }

  const timed = (pane) => tab !== "passes" && pane.most > 0;

  function refresh() {
    const pane = panes[0];
    $("tools").hidden = !pane;
    $("search").hidden = !pane && !data.steps.length;
    if (pane) {
      $("depth").textContent = `${pane.level} of ${pane.levels} levels`;
      $("less").disabled = pane.opened.size <= 1;
      $("more").disabled = pane.level >= pane.levels;
      $("heat").disabled = !timed(pane);
      $("heat").title = timed(pane) ? "colour by measured time (h)" : "only the fused graph has times, if the report was given arguments";
      $("heat").setAttribute("aria-pressed", heat && timed(pane));
    }
    legend();
  }

  function legend() {
    const rows = [];
    if (panes.length) {
      const used = new Set(panes.flatMap((pane) => pane.graph.items.map((item) => item[KIND])));
      data.kinds.forEach(([kind, meaning], number) => {
        if (!used.has(number) && kind !== "closed") return;
        const svg = element("svg", {}), g = element("g", { class: "item " + kind }, svg);
        element("rect", { class: "shape", x: 1, y: 1, width: 17, height: 11, rx: 3 }, g);
        rows.push(make("span", {}, svg, meaning + (kind === "closed" ? " (double click opens it)" : "")));
      });
      const line = (kind, meaning) => {
        const svg = element("svg", {});
        element("path", { class: "link " + kind, d: "M0 7H18", "marker-end": `url(#tip-${kind})` }, svg);
        rows.push(make("span", {}, svg, meaning));
      };
      line("value", "value");
      line("update", "next value of a variable");
      const swatch = (classes, meaning) => {
        const svg = element("svg", {}), g = element("g", { class: "item elementwise " + classes }, svg);
        element("rect", { class: "shape", x: 2, y: 2, width: 15, height: 10, rx: 3 }, g);
        rows.push(make("span", {}, svg, meaning));
      };
      if (tab === "passes") swatch("removed", "gone"), swatch("added", "new");
      else swatch("copy", "copy from another region");
      if (heat && timed(panes[0])) {
        const scale = make("i", { id: "scale" });
        scale.style.background = `linear-gradient(to right,${[0, 0.1, 0.4, 1].map(heatColor)})`;
        rows.push(make("span", {}, "0", scale, timeText(panes[0].most)));
      }
    } else if (data.schedule) {
      rows.push(make("span", {}, "Time runs down, one step a row; addresses of the arena run to the right. A block is a buffer, from the step that writes it first to the one that reads it last."));
    }
    $("legend").replaceChildren(...rows);
  }

  // --- panel ------------------------------------------------------------------------------------------------------

  function closePanel() {
    $("panel").hidden = true;
    for (const pane of panes) if (pane.inside) pane.choose(null);
    for (const g of schedule.querySelectorAll(".chosen")) g.classList.remove("chosen");
  }

  function choose(pane, what) {
    if (!what) return closePanel();
    for (const other of panes) if (other !== pane) other.choose(null);
    pane.choose(what, what.type === ITEM ? partners(pane.graph, what.reference) : []);
    panel(what.type === ITEM ? aboutItem(pane, what.reference) : aboutBox(pane, what.reference));
  }

  function panel(rows) {
    $("about").replaceChildren(...rows.flat().filter(Boolean));
    $("panel").hidden = false;
    $("panel").scrollTop = 0;
  }

  // Nodes from the same line and scope that belong to the other phase: what a node's gradient consists of, or is of.
  const leaves = new Set(["placeholder", "variable", "constant", "output"]);
  function partners(graph, number) {
    const item = graph.items[number];
    if (item[SCOPE] < 0 || item[PLACE] < 0 || leaves.has(data.kinds[item[KIND]][0])) return [];
    return graph.items.flatMap((other, i) =>
      !other[COPY] && !leaves.has(data.kinds[other[KIND]][0]) && other[SCOPE] === item[SCOPE] && other[PLACE] === item[PLACE] && other[BACKWARD] !== item[BACKWARD] ? [i] : []);
  }

  function facts(rows) {
    const list = make("dl");
    for (const [name, value] of rows) if (value !== "" && value !== null && value !== undefined) list.append(make("dt", { textContent: name }), make("dd", {}, value));
    return list;
  }

  function lineOf(place) {
    if (place < 0) return [];
    const [file, line, text] = data.locations[place];
    return [make("h3", { textContent: "Written at" }), make("div", { textContent: `${file}:${line}` }), text ? make("pre", { textContent: text }) : null];
  }

  function itemLink(pane, number, more = "") {
    const item = pane.graph.items[number];
    const what = { type: ITEM, reference: number };
    return make("li", {}, make("a", { textContent: item[HEADING], onclick: () => (pane.reveal(what), choose(pane, what)) }),
      make("small", { textContent: ` ${[item[NAME] !== item[HEADING] ? item[NAME] : "", item[TYPE], more].filter(Boolean).join(" \u00b7 ")}` }));
  }

  function links(title, rows, most = 12) {
    if (!rows.length) return [];
    const list = make("ul", {}, ...rows.slice(0, most));
    if (rows.length > most) {
      const more = make("a", { textContent: `${rows.length - most} more`, onclick: () => more.parentNode.replaceWith(...rows.slice(most)) });
      list.append(make("li", {}, more));
    }
    return [make("h3", { textContent: `${title} (${rows.length})` }), list];
  }

  function aboutItem(pane, number) {
    const { graph } = pane, item = graph.items[number], [kind, meaning] = data.kinds[item[KIND]];
    const ends = (from, to) => [...new Set(graph.links.filter((link) => link[from] === number && link[2] !== 1).map((link) => link[to]))];
    const next = (from, to) => [...new Set(graph.links.filter((link) => link[from] === number && link[2] === 1).map((link) => link[to]))];
    const found = partners(graph, number);
    let steps = item[STEPS], share = "";
    if (!steps.length) {
      // A member of a fused group is computed by the kernel of the group.
      const box = graph.boxes[item[BOX_OF]];
      if (box.kind === "group") [steps, share] = [box.steps, "shared by the group"];
    }
    return [
      make("h2", { textContent: item[HEADING] }),
      make("small", { textContent: meaning + (item[COPY] ? ", copy from another region" : "") }),
      facts([
        ["value", item[NAME]], ["type", item[TYPE]], ["details", item[DETAILS]],
        ["scope", item[SCOPE] >= 0 ? data.scopes[item[SCOPE]] : ""],
        ["phase", item[SCOPE] >= 0 ? (item[BACKWARD] ? "backward" : "forward") : ""],
        ["memory", item[BYTES] !== null ? bytesText(item[BYTES]) : ""],
        ["time", timeOf(item[SECONDS])],
      ]),
      lineOf(item[PLACE]),
      links("Reads", ends(1, 0).map((i) => itemLink(pane, i))),
      links("Read by", ends(0, 1).map((i) => itemLink(pane, i))),
      links("Next value", next(1, 0).map((i) => itemLink(pane, i))),
      links("Next value of", next(0, 1).map((i) => itemLink(pane, i))),
      links(item[BACKWARD] ? "Gradient of, in the forward graph" : "Its gradient, in the backward graph", found.map((i) => itemLink(pane, i))),
      aboutSteps(steps, share),
    ];
  }

  function timeOf(seconds) {
    if (!seconds) return "";
    return `${timeText(seconds)}${data.total ? ` (${((100 * seconds) / data.total).toFixed(1)}% of all steps)` : ""}`;
  }

  function aboutBox(pane, number) {
    const box = pane.graph.boxes[number], [scope, line] = box.origin, isOpen = pane.opened.has(number);
    const kinds = { scope: "scope", group: "fused group: one kernel computes it", body: "loop or choice", part: "part of a box" };
    return [
      make("h2", { textContent: box.label }),
      make("small", { textContent: kinds[box.kind] || "region" }),
      make("p", {}, make("button", { textContent: isOpen ? "Close" : "Open", onclick: () => (pane.toggle(number), choose(pane, { type: BOX, reference: number })) })),
      facts([["place", box.place], ["holds", box.says], ["time", timeOf(box.seconds)], ["scope", scope >= 0 ? data.scopes[scope] : ""]]),
      lineOf(line),
      aboutSteps(box.steps, ""),
    ];
  }

  function aboutSteps(numbers, share) {
    return numbers.flatMap((number) => {
      const step = data.steps[number];
      return [
        make("h3", {}, make("a", { textContent: `Step ${step.number}: kernel ${step.name}`, onclick: () => goToStep(number) }), share ? ` \u2013 ${share}` : ""),
        facts([
          ["range", `${step.extent.toLocaleString("en")}${step.tasks > 1 ? ` in ${step.tasks} tasks` : ""}`],
          ["time", timeOf(step.seconds)],
        ]),
        make("ul", {}, ...step.buffers.map(([does, text]) => make("li", {}, make("small", { textContent: `${does} ` }), text))),
        make("pre", { className: "source", textContent: data.kernels[step.kernel].trim() }),
      ];
    });
  }

  // --- schedule ---------------------------------------------------------------------------------------------------

  function goToStep(number) {
    if (tab !== "schedule") show("schedule");
    const row = schedule.querySelector(`[data-row="${number}"]`);
    if (row) row.scrollIntoView({ block: "center" });
    chooseStep(number);
  }

  function chooseStep(number) {
    closePanel();
    const step = data.steps[number], [scope, line] = step.origin;
    const row = schedule.querySelector(`[data-row="${number}"]`);
    if (row) row.classList.add("chosen");
    const graph = data.graphs[data.views.fused], at = graph.items.findIndex((item) => !item[COPY] && item[STEPS].includes(number));
    const box = graph.boxes.findIndex((each) => each.steps.includes(number));
    const target = box > 0 ? { type: BOX, reference: box } : at >= 0 ? { type: ITEM, reference: at } : null;
    panel([
      make("h2", { textContent: step.what }),
      facts([["scope", scope >= 0 ? data.scopes[scope] : ""]]),
      target && make("p", {}, make("button", { textContent: "Show in the graph", onclick: () => (show("fused"), panes[0].reveal(target), choose(panes[0], target)) })),
      lineOf(line),
      aboutSteps([number], ""),
    ]);
  }

  schedule.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) chooseStep(+row.dataset.row);
  });
  // Pointing at a block marks the steps that write it first and read it last; at a step, the blocks that live then.
  schedule.addEventListener("mouseleave", () => point(null));
  schedule.addEventListener("mouseover", (event) => point(event.target));
  function point(target) {
    const block = target && target.closest(".block"), row = target && target.closest(".step");
    for (const g of schedule.querySelectorAll(".near")) g.classList.remove("near");
    if (block) for (const end of [block.dataset.first, block.dataset.last]) schedule.querySelector(`[data-row="${end}"]`).classList.add("near");
    if (row) for (const g of schedule.querySelectorAll(".block")) if (+row.dataset.row >= +g.dataset.first && +row.dataset.row <= +g.dataset.last) g.classList.add("near");
  }
  for (const title of schedule.querySelectorAll("title")) {
    title.parentNode.dataset.tip = title.textContent.replaceAll("; ", "\n");
    title.remove();
  }

  // --- tips -------------------------------------------------------------------------------------------------------

  function tipOf(target) {
    const own = target.closest("[data-tip]");
    if (own) return own.dataset.tip;
    const root = target.closest(".pane"), pane = panes.find((each) => each.root === root);
    if (!pane) return "";
    const link = pane.drawn.links.find((each) => each.path === target);
    if (link) {
      const lines = link.links.map((n) => pane.graph.links[n]).map(([source, end, kind]) => {
        const [a, b] = [pane.graph.items[source], pane.graph.items[end]];
        return data.links[kind] === "update" ? `${b[HEADING]} becomes ${a[HEADING]}` : `${a[HEADING]} \u2192 ${b[HEADING]}: ${a[TYPE]}`;
      });
      const unique = [...new Set(lines)];
      return unique.slice(0, 6).join("\n") + (unique.length > 6 ? `\n${unique.length - 6} more` : "");
    }
    const g = target.closest("[data-item]");
    if (g) {
      const item = pane.graph.items[g.dataset.item], line = item[PLACE] >= 0 ? data.locations[item[PLACE]] : null;
      const at = line ? `${line[0].split(/[/\\]/).pop()}:${line[1]}: ${line[2]}` : "";
      const more = [item[DETAILS], item[TYPE]].filter((text) => text.length > DETAIL_LIMIT);
      return [`${item[NAME]} = ${item[HEADING]}`, ...more, item[SCOPE] >= 0 ? data.scopes[item[SCOPE]] : "", at, item[SECONDS] ? timeText(item[SECONDS]) : ""].filter(Boolean).join("\n");
    }
    const box = target.closest("[data-closed]") || (target.classList.contains("name") ? target.closest("[data-box]") : null);
    if (!box) return "";
    const about = pane.graph.boxes[box.dataset.closed ?? box.dataset.box];
    const action = box.dataset.closed === undefined ? "click closes it" : "double click opens it";
    return [about.place, about.says, about.seconds ? timeText(about.seconds) : "", action].filter(Boolean).join("\n");
  }

  document.addEventListener("mousemove", (event) => {
    const text = event.buttons || !(event.target instanceof Element) ? "" : tipOf(event.target), tip = $("tip");
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
    tip.style.top = (event.clientY + height + 24 > innerHeight ? event.clientY - height - 10 : event.clientY + 16) + "px";
  });

  // --- search -----------------------------------------------------------------------------------------------------

  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const fits = (...texts) => {
      const all = texts.join(" ").toLowerCase();
      return words.every((word) => all.includes(word));
    };
    const scopeOf = (number) => (number >= 0 ? data.scopes[number] : ""), lineText = (number) => (number >= 0 ? data.locations[number].join(":") : "");
    if (!panes.length) {
      return data.steps.flatMap((step, n) => (fits(step.number, step.what, step.name, scopeOf(step.origin[0]), lineText(step.origin[1])) ? [{ text: `${step.number} ${step.what}`, small: scopeOf(step.origin[0]), go: () => goToStep(n) }] : []));
    }
    return panes.flatMap((pane) => {
      const go = (what) => () => (pane.reveal(what), choose(pane, what));
      const boxes = pane.graph.boxes.flatMap((box, b) => (b && fits(box.label, box.place) ? [{ text: box.label, small: `${box.place} \u00b7 ${box.says}`, go: go({ type: BOX, reference: b }), rank: box.label.toLowerCase() === text.toLowerCase() ? 0 : 1 }] : []));
      const items = pane.graph.items.flatMap((item, i) => (fits(item[HEADING], item[NAME], item[DETAILS], item[TYPE], scopeOf(item[SCOPE]), lineText(item[PLACE]))
        ? [{ text: item[HEADING], small: [item[NAME], item[TYPE], scopeOf(item[SCOPE])].filter(Boolean).join(" \u00b7 "), go: go({ type: ITEM, reference: i }), rank: item[HEADING].toLowerCase().includes(words[0]) ? 0 : 2 }] : []));
      return [...boxes, ...items].sort((a, b) => a.rank - b.rank);
    });
  }

  let results = [], at = 0;
  $("query").addEventListener("input", () => {
    results = search($("query").value);
    at = 0;
    list();
  });
  function list() {
    const shown = results.slice(0, 50).map((result, n) => {
      const row = make("li", { className: n === at ? "at" : "" }, result.text, make("small", { textContent: result.small }));
      row.addEventListener("pointerdown", (event) => (event.preventDefault(), take(n)));
      return row;
    });
    if (results.length > 50) shown.push(make("li", {}, make("small", { textContent: `${results.length - 50} more` })));
    if (!results.length && $("query").value.trim()) shown.push(make("li", {}, make("small", { textContent: "Nothing found" })));
    $("found").replaceChildren(...shown);
    $("found").hidden = !shown.length;
    const current = $("found").children[at];
    if (current) current.scrollIntoView({ block: "nearest" });
  }
  function take(n) {
    if (!results[n]) return;
    at = n;
    $("found").hidden = true;
    results[n].go();
  }
  $("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter") take(at);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      at = Math.min(Math.max(at + (event.key === "ArrowDown" ? 1 : -1), 0), Math.min(results.length, 50) - 1);
      list();
      event.preventDefault();
    } else if (event.key === "Escape") $("query").blur();
  });
  $("query").addEventListener("blur", () => ($("found").hidden = true));
  $("query").addEventListener("focus", list);

  // --- buttons and keys -------------------------------------------------------------------------------------------

  const eachPane = (action) => () => panes.forEach(action);
  $("less").onclick = eachPane((pane) => pane.setLevel(Math.max(pane.level - (pane.opened.size > pane.atLevel(pane.level).length + 1 ? 0 : 1), 0)));
  $("more").onclick = eachPane((pane) => pane.setLevel(Math.min(pane.level + 1, pane.levels)));
  $("fit").onclick = eachPane((pane) => pane.fit(pane.wholeScale));
  $("heat").onclick = () => {
    heat = !heat;
    for (const pane of panes) {
      pane.heat = heat && timed(pane);
      pane.draw();
    }
    refresh();
  };
  $("theme").onclick = () => {
    const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  };
  $("close").onclick = closePanel;

  let timer = 0;
  function message(text) {
    $("message").textContent = text;
    $("message").hidden = false;
    clearTimeout(timer);
    timer = setTimeout(() => ($("message").hidden = true), 4000);
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input,select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { "/": () => $("query").focus(), f: () => $("fit").click(), h: () => $("heat").click(), "+": () => $("more").click(), "-": () => $("less").click(), Escape: closePanel };
    if (keys[event.key]) {
      keys[event.key]();
      event.preventDefault();
    }
  });

  show("written");
})();
