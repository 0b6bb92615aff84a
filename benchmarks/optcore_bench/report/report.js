"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const shown = new Set(data.solvers.keys());
  const wide = () => window.matchMedia("(min-width: 900px)").matches;
  // Nothing leaves the page: no button that uploads a chart.
  const config = {
    displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
  };

  // ---------- profiles: the same definitions as optcore_bench.profiles

  // Right-continuous steps: share of rows with value <= x, at the left end and wherever it grows.
  function steps(values, left) {
    const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
    const x = [left, ...finite.filter((v, i) => v !== left && v !== finite[i - 1])];
    let k = 0;
    const y = x.map((v) => {
      while (k < finite.length && finite[k] <= v) k += 1;
      return k / values.length;
    });
    return {x, y};
  }

  const orInf = (cost) => (cost === null ? Infinity : cost);

  function performanceProfile(table, columns, compared) {
    const best = table.map((row) => Math.min(...compared.map((j) => orInf(row[j]))));
    return columns.map((j) => steps(table.map((row, i) => (row[j] === null ? Infinity : row[j] / best[i])), 1));
  }

  function dataProfile(table, columns, n) {
    return columns.map((j) => steps(table.map((row, i) => orInf(row[j]) / (n === null ? 1 : n[i] + 1)), 0));
  }

  // ---------- state

  const cost = () => data.costs.find((c) => c.key === byId("cost").value);
  const costIndex = () => data.costs.findIndex((c) => c.key === byId("cost").value);
  const table = () => data.tables[byId("cost").value][byId("tau").value];
  const columns = () => [...shown].sort((a, b) => a - b);

  // ---------- plots

  function trace(j, curve, extra) {
    const s = data.solvers[j];
    const marked = s.symbol !== "none";
    return {
      type: "scatter", name: s.label, x: curve.x, y: curve.y,
      mode: marked ? "lines+markers" : "lines",
      line: {color: s.color, dash: s.dash, width: 2, shape: "hv"},
      marker: {symbol: marked ? s.symbol : "circle", size: 6, maxdisplayed: 12},
      hovertemplate: "%{y:.4g} at %{x:.4g}<extra>" + plain(s.label) + "</extra>",
      ...extra,
    };
  }

  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const clone = (value) => JSON.parse(JSON.stringify(value));

  // Long titles of axes are broken before the bracket, so that they fit a phone.
  const fold = (text) => plain(wide() ? text : text.replace(/(;) |(?= \(a )/g, "$1\n")).replace(/\n/g, "<br>");

  function layout(title, xTitle, yTitle) {
    const base = clone(data.layout);
    base.title = {text: title, x: 0, xref: "paper", xanchor: "left", font: {size: 15}};
    base.xaxis.title = {text: fold(xTitle), standoff: 12, font: {size: 13}};
    base.yaxis.title = {text: plain(yTitle), standoff: 12, font: {size: 13}};
    base.showlegend = wide() && shown.size <= 24;
    base.legend.tracegroupgap = 0;
    base.margin = wide() ? {l: 64, r: 12, t: 40, b: 56} : {l: 52, r: 8, t: 36, b: 72};
    return base;
  }

  // A share that was reached stays reached: all curves end at the right end of the axis.
  function extended(curves, factor) {
    const right = factor * Math.max(...curves.map((c) => c.x[c.x.length - 1]));
    curves.forEach((c) => { c.x.push(right); c.y.push(c.y[c.y.length - 1]); });
    return right;
  }

  // A logarithmic axis starts at the lowest cost; what was before that is left of its edge.
  function costAxis(axis, curves, right) {
    if (!byId("log").checked) {
      Object.assign(axis, {type: "linear", range: [0, right], autorange: false});
      return;
    }
    let low = right;
    for (const c of curves) for (const x of c.x) if (x > 0 && x < low) low = x;
    curves.forEach((c) => { c.x = c.x.map((x) => (x > 0 ? x : low / 2)); });
    const margin = right > low ? 0.03 * Math.log10(right / low) : 0.1;
    Object.assign(axis, {
      type: "log", range: [Math.log10(low) - margin, Math.log10(right)], autorange: false, minor: {ticks: ""},
      dtick: right / low < 30 ? "D1" : right / low < 1000 && wide() ? "D2" : 1, exponentformat: "none",
    });
  }

  function drawProfile(id, curves, drawn, settings) {
    const right = drawn.length ? extended(curves, settings.log2 ? 1.1 : 1.03) : 2;
    const page = layout(settings.title, settings.x, "share of problems solved, tau = " + byId("tau").value);
    Object.assign(page.yaxis, {range: [-0.02, 1.02], tickformat: ".0%"});
    if (settings.log2) {
      const last = Math.max(1, Math.ceil(Math.log2(right)));
      const every = Math.ceil(last / (wide() ? 12 : 6));
      const ticks = [];
      for (let k = 0; k <= last; k += every) ticks.push(2 ** k);
      Object.assign(page.xaxis, {type: "log", tickvals: ticks, ticktext: ticks.map(String), range: [-0.005, Math.log10(right)]});
    } else {
      costAxis(page.xaxis, curves, right);
    }
    Plotly.react(id, drawn.map((j, k) => trace(j, curves[k])), page, config);
  }

  function drawProfiles() {
    const drawn = columns();
    const compared = byId("among").checked && drawn.length ? drawn : [...data.solvers.keys()];
    const what = byId("among").checked ? "" : " of all solvers";
    drawProfile("performance", performanceProfile(table(), drawn, compared), drawn, {
      title: "Performance profile", log2: true,
      x: "times the lowest cost" + what + "; cost: " + cost().title,
    });
    const perGradient = cost().perGradient && data.n.every((n) => n !== null);
    drawProfile("data-profile", dataProfile(table(), drawn, perGradient ? data.n : null), drawn, {
      title: perGradient ? "Data profile" : "Share solved within a cost", log2: false,
      x: perGradient ? "simplex gradients: " + cost().title + " / (n + 1)" : cost().title,
    });
  }

  function drawConvergence() {
    const chosen = Number(byId("problem").value);
    const drawn = columns();
    const all = chosen < 0;
    const curves = all ? data.convergence.all[cost().key] : data.convergence.problems[chosen];
    const there = drawn.filter((j) => curves[j]);
    const lines = there.map((j) => ({...curves[j], x: all ? curves[j].x : curves[j].x[costIndex()]}));
    const title = all ? data.problems.length + " problems, median" : data.problems[chosen];
    const page = layout(plain(title), cost().title, "(f_best - f_L) / (f_start - f_L)");
    Object.assign(page.yaxis, {type: "log", exponentformat: "power", dtick: 2, autorange: true, tickfont: {size: 11}});
    costAxis(page.xaxis, lines, Math.max(1, ...lines.map((c) => 1.02 * c.x[c.x.length - 1])));
    const traces = [];
    there.forEach((j, k) => {
      if (all && there.length <= 4) traces.push(shade(j, lines[k]));
      traces.push(trace(j, lines[k], {legendgroup: data.solvers[j].label}));
    });
    Plotly.react("convergence-plot", traces, page, config);
    byId("convergence-note").textContent = all
      ? "At every cost the median over problems of what is left of f_start - f_L; runs that ended keep their best value. " +
        (drawn.length <= 4 ? "Shaded: the middle half of the problems." : "With four solvers or fewer, the middle half of the problems is shaded.")
      : "The best value so far among the points that the solver asked for, without noise. Values at 1e-16 are that or less.";
  }

  function shade(j, c) {
    const s = data.solvers[j];
    const rgb = [1, 3, 5].map((i) => parseInt(s.color.slice(i, i + 2), 16)).join(",");
    return {
      type: "scatter", x: c.x.concat([...c.x].reverse()), y: c.lower.concat([...c.upper].reverse()), fill: "toself",
      fillcolor: "rgba(" + rgb + ",0.12)", line: {width: 0}, mode: "lines", hoverinfo: "skip", showlegend: false,
      legendgroup: s.label, name: s.label,
    };
  }

  // ---------- cost table

  function element(tag, text, properties) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    Object.assign(node, properties);
    return node;
  }

  const written = (v) => (v >= 1e6 ? v.toExponential(2) : Number.isInteger(v) ? String(v) : v.toPrecision(4));

  function headRows(drawn) {
    const names = element("tr", undefined, {className: "names"});
    const strategies = element("tr", undefined, {className: "strategies"});
    names.append(element("th", "problem"));
    strategies.append(element("th", ""));
    for (let k = 0; k < drawn.length;) {
      const algorithm = data.solvers[drawn[k]].algorithm;
      let end = k;
      while (end < drawn.length && data.solvers[drawn[end]].algorithm === algorithm) end += 1;
      names.append(element("th", algorithm, {colSpan: end - k, scope: "colgroup"}));
      k = end;
    }
    for (const j of drawn) strategies.append(element("th", data.solvers[j].derivative, {scope: "col"}));
    return [names, strategies];
  }

  function cell(value, best, label) {
    if (value === null) return element("td", "–", {className: "unsolved", title: label + ": not solved"});
    const td = element("td", written(value), {title: label + ": " + value + ", " + (value / best).toPrecision(3) + " times the lowest"});
    const strength = Math.max(0, 1 - Math.log2(value / best) / 5);
    td.style.background = "rgba(0,114,178," + (0.6 * strength).toFixed(3) + ")";
    if (value === best) td.className = "best";
    return td;
  }

  function drawCosts() {
    const drawn = columns();
    const head = element("thead");
    head.append(...headRows(drawn));
    const body = element("tbody");
    table().forEach((row, i) => {
      const best = Math.min(...drawn.map((j) => orInf(row[j])));
      const tr = element("tr");
      tr.append(element("th", data.problems[i], {scope: "row", title: data.n[i] === null ? "" : "n = " + data.n[i]}));
      for (const j of drawn) tr.append(cell(row[j], best, data.solvers[j].label));
      body.append(tr);
    });
    byId("cost-table").replaceChildren(head, body);
    byId("cost-table").style.setProperty("--head", head.rows[0].offsetHeight + "px");
    byId("costs-note").textContent = "Cost until solved at tau = " + byId("tau").value + ", in " + cost().title +
      ". Colours compare the solvers shown, row by row; the cheapest is bold.";
  }

  // ---------- controls

  const dashes = {solid: "", dash: "7 3", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 3", longdashdot: "11 3 2 3"};

  function swatch(solver) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const set = (node, values) => Object.entries(values).forEach(([k, v]) => node.setAttribute(k, v));
    set(svg, {class: "swatch", width: 24, height: 8, "aria-hidden": "true"});
    const dash = solver.dash in dashes ? dashes[solver.dash] : solver.dash.replace(/px/g, "").replace(/,/g, " ");
    set(path, {d: "M0 4H24", stroke: solver.color, "stroke-width": 2.5, "stroke-dasharray": dash});
    svg.append(path);
    return svg;
  }

  const boxes = [];  // {input, solvers}: checked when all of its solvers are shown

  function box(text, solvers, picture) {
    const label = element("label");
    const input = element("input", undefined, {type: "checkbox", checked: true});
    input.addEventListener("change", () => {
      solvers.forEach((j) => (input.checked ? shown.add(j) : shown.delete(j)));
      refresh();
    });
    boxes.push({input, solvers});
    label.append(input, ...(picture ? [picture] : []), element("span", text));
    return label;
  }

  function unique(name) {
    return [...new Set(data.solvers.map((s) => s[name]))];
  }

  function which(test) {
    return [...data.solvers.keys()].filter((j) => test(data.solvers[j]));
  }

  function buildPanel() {
    for (const derivative of unique("derivative").filter((d) => d)) {
      byId("derivatives").append(box(derivative, which((s) => s.derivative === derivative)));
    }
    for (const algorithm of unique("algorithm")) {
      const members = which((s) => s.algorithm === algorithm);
      const group = element("div", undefined, {className: "group"});
      const list = element("div");
      group.append(box(algorithm, members));
      members.forEach((j) => list.append(box(data.solvers[j].derivative || "-", [j], swatch(data.solvers[j]))));
      group.append(list);
      byId("solvers").append(group);
    }
    byId("all").addEventListener("click", () => { data.solvers.forEach((_, j) => shown.add(j)); refresh(); });
    byId("none").addEventListener("click", () => { shown.clear(); refresh(); });
    if (!wide()) byId("panel").open = false;
  }

  function buildProblems() {
    const select = byId("problem");
    select.append(element("option", "all problems (median)", {value: -1}));
    data.problems.forEach((name, i) => select.append(element("option", name, {value: i})));
    const move = (by) => {
      select.selectedIndex = (select.selectedIndex + by + select.length) % select.length;
      drawConvergence();
    };
    select.addEventListener("change", drawConvergence);
    byId("previous").addEventListener("click", () => move(-1));
    byId("next").addEventListener("click", () => move(1));
  }

  function refresh() {
    for (const {input, solvers} of boxes) {
      const count = solvers.filter((j) => shown.has(j)).length;
      input.checked = count === solvers.length;
      input.indeterminate = count > 0 && count < solvers.length;
    }
    draw();
  }

  function draw() {
    drawProfiles();
    drawConvergence();
    drawCosts();
  }

  // ---------- sortable tables

  // Position of a cell in its row's grid, for headings that span several columns or rows.
  function columnOf(th) {
    const grid = [];
    for (const [r, row] of [...th.closest("thead").rows].entries()) {
      let c = 0;
      for (const head of row.cells) {
        while (grid[r] && grid[r][c]) c += 1;
        if (head === th) return c;
        for (let dr = 0; dr < head.rowSpan; dr += 1) {
          grid[r + dr] = grid[r + dr] || [];
          for (let dc = 0; dc < head.colSpan; dc += 1) grid[r + dr][c + dc] = true;
        }
      }
    }
    return -1;
  }

  function sortable(tableNode) {
    tableNode.querySelectorAll(".sort").forEach((button) => {
      const th = button.closest("th");
      const column = columnOf(th);
      button.addEventListener("click", () => {
        const descending = th.getAttribute("aria-sort") === "ascending";
        tableNode.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const body = tableNode.tBodies[0];
        const key = (row) => {
          const td = row.cells[column];
          const text = td.dataset.value === undefined ? td.textContent.trim() : td.dataset.value;
          return text === "inf" ? Infinity : text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
        };
        const compare = (a, b) => {
          const [u, v] = [key(a), key(b)];
          if (typeof u === "number" && typeof v === "number") return u < v ? -1 : u > v ? 1 : 0;
          return String(u).localeCompare(String(v));
        };
        const rows = [...body.rows].sort(compare);
        body.append(...(descending ? rows.reverse() : rows));
      });
    });
  }

  buildPanel();
  buildProblems();
  document.querySelectorAll("table.sortable").forEach(sortable);
  byId("tau").addEventListener("change", () => { drawProfiles(); drawCosts(); });
  byId("cost").addEventListener("change", draw);
  byId("among").addEventListener("change", drawProfiles);
  byId("log").addEventListener("change", () => { drawProfiles(); drawConvergence(); });
  window.matchMedia("(min-width: 900px)").addEventListener("change", draw);
  refresh();
  window.optcoreReport = {data, performanceProfile, dataProfile, shown, refresh};
})();
