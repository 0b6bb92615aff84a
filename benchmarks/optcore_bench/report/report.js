"use strict";
// The page: what is chosen, what is shown, and what is drawn when a section is opened.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const {element, enable, fill} = optcoreTables;
  const byId = (id) => document.getElementById(id);
  const shown = new Set(data.solvers.keys());
  const everyone = [...data.solvers.keys()];
  const three = (value) => String(Number(value.toPrecision(3)));
  const listed = (names) => (names.length < 2 ? names.join("") : names.slice(0, -1).join(", ") + " and " + names[names.length - 1]);
  const count = (k, one, many) => k + " " + (k === 1 ? one : many || one + "s");

  // ---------- what is chosen

  const drawnSolvers = () => everyone.filter((j) => shown.has(j));
  const tauIndex = () => data.taus.indexOf(byId("tau").value);
  const unit = () => byId("jac-unit").value;
  const core = () => Number(byId("cores").value);

  function counts(j) {
    const found = optcoreCosts.countsOf(data.hits[tauIndex()][j], core());
    if (!ownTime()) return found;
    return {...found, own: data.own.batches[tauIndex()][j].map((b, i) => b * data.own.seconds[j][i] / seconds())};
  }

  // Steps of a tenth of a decade and less, written with three digits: what is shown is what is computed with.
  function jacPrice() {
    const step = Number(byId("jac").value);
    if (step === 0) return 0;
    return Number((10 ** ((step - (unit() === "n" ? 51 : 26)) / 25)).toPrecision(3));
  }

  // Seconds of an evaluation; null where evaluations are counted.
  function seconds() {
    const step = Number(byId("seconds").value);
    return step === 0 ? null : Number((10 ** ((step - 61) / 10)).toPrecision(3));
  }

  // Whether the time of the solvers themselves is added to that of the calls.
  const ownTime = () => data.own !== null && seconds() !== null && byId("own").checked;

  // Price of a jacobian of solver j on problem i, in evaluations.
  function price(j, i) {
    if (unit() === "measured") return data.prices[j][i];
    return unit() === "n" ? jacPrice() * data.n[i] : jacPrice();
  }

  const costTable = () => everyone.map((j) => optcoreCosts.costs(counts(j), (i) => price(j, i)));

  // ---------- what is chosen, in words

  function duration(s) {
    for (const [size, name] of [[3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"]]) {
      if (s >= size) return three(s / size) + " " + name;
    }
    return three(s / 1e-6) + " µs";
  }

  function jacText() {
    if (unit() === "measured") return "as measured";
    if (jacPrice() === 0) return "nothing";
    if (unit() === "n") return (jacPrice() === 1 ? "" : jacPrice() + " ") + "n evaluations";
    return count(jacPrice(), "evaluation");
  }

  function costText() {
    const cores = data.cores[core()];
    const jac = unit() === "measured" ? "counts as measured" : jacPrice() === 0 ? "is free" : "counts as " + jacText();
    const what = seconds() === null ? (cores === 1 ? "evaluations" : "rounds of evaluations") : "seconds";
    const many = cores === 1 ? "" : ", " + cores + " cores";
    const each = seconds() === null ? "" : ", " + duration(seconds()) + " an evaluation" +
      (ownTime() ? ", and the solver's own time" : "");
    return what + " (a jacobian " + jac + many + each + ")";
  }

  function writeControls() {
    const texts = {
      jac: jacText(), cores: String(data.cores[core()]),
      seconds: seconds() === null ? "not said: they are counted" : duration(seconds()),
    };
    for (const [id, text] of Object.entries(texts)) {
      byId(id).setAttribute("aria-valuetext", text);
      byId(id + "-text").textContent = text;
    }
    byId("jac").disabled = unit() === "measured";
    byId("own").disabled = seconds() === null;
  }

  // ---------- the data profile, and what it says

  const perGradient = () => seconds() === null && data.n.every((n) => n !== null);

  function drawDataProfile(table) {
    const drawn = drawnSolvers();
    const curves = optcoreCosts.dataProfile(table, drawn, perGradient() ? data.n : null, seconds() || 1);
    optcorePlots.dataProfile("data-profile", data.layout, drawn.map((j) => data.solvers[j]), curves, {
      title: perGradient() ? "Data profile" : "Share solved within a cost",
      x: (perGradient() ? "simplex gradients: " : "") + costText() + (perGradient() ? " / (n + 1)" : ""),
      y: "share of problems solved, tau = " + byId("tau").value,
    }, byId("log").checked);
  }

  function writeCheapest(table) {
    const drawn = drawnSolvers();
    const wins = drawn.map((j) => table[j].filter((cost, i) =>
      cost < Infinity && drawn.every((k) => table[k][i] >= cost)).length);
    const most = Math.max(0, ...wins);
    const first = drawn.filter((_, k) => wins[k] === most).map((j) => data.solvers[j].label);
    byId("cheapest").textContent = most === 0
      ? "None of the solvers shown solves a problem."
      : "Cheapest on the most problems at these costs: " + listed(first) + ", on " + most + " of " +
        data.problems.length + ".";
  }

  // ---------- break-even prices

  const priceUnit = () => (unit() === "n" ? "n evaluations" : "evaluations");

  // A price in words, as optcore_bench.costs.BreakEven has it.
  function priced(price) {
    const number = three(price);
    if (unit() === "n") return (number === "1" ? "" : number + " ") + "n evaluations";
    return number + (number === "1" ? " evaluation" : " evaluations");
  }

  function pairOf(a, b) {
    const [of, against] = [counts(a), counts(b)];
    const scale = (i) => (unit() === "n" ? data.n[i] : 1);
    const ran = [...data.problems.keys()].filter((i) => data.runs.status[a][i] >= 0 || data.runs.status[b][i] >= 0);
    return optcoreCosts.breakEven(ran.map((i) => [optcoreCosts.lines(of, i), optcoreCosts.lines(against, i), scale(i)]));
  }

  // The sentence of optcore_bench.costs.BreakEven, and what holds problem by problem.
  function pairSentence(a, b) {
    const found = pairOf(a, b);
    const [first, second] = [data.solvers[a].label, data.solvers[b].label];
    const only = [[found.onlyA, first], [found.onlyB, second]].filter(([k]) => k > 0)
      .map(([k, name]) => k + (found.both ? " more" : "") + " by " + name + " only");
    const apart = (found.both
      ? "in total over the " + found.both + " of " + count(found.rows, "problem") + " that both solve"
      : "no problem is solved by both") + (only.length ? " (" + only.join(", ") + ")" : "");
    if (found.both === 0) return "No price of a jacobian decides between " + first + " and " + second + ": " + apart + ".";
    const at = found.price === undefined ? "" : priced(found.price);
    const claims = {
      always: first + " beats " + second + " whatever a jacobian costs",
      never: first + " doesn't beat " + second + " at any price of a jacobian",
      tied: first + " and " + second + " cost the same whatever a jacobian costs",
      above: first + " beats " + second + " if a jacobian costs more than " + at,
      below: first + " beats " + second + " if a jacobian costs less than " + at,
    };
    if (a === b) return "Choose two solvers to compare.";
    const kinds = [["above", "above some price"], ["below", "below some price"], ["always", "at every price"], ["never", "at none"]]
      .map(([verdict, words]) => [found.each.filter((one) => one.verdict === verdict).length, words])
      .filter(([k]) => k > 0).map(([k, words]) => words + " on " + k);
    const costsOf = (j) => optcoreCosts.costs(counts(j), (i) => price(j, i));
    const [mine, theirs] = [costsOf(a), costsOf(b)];
    const cheaper = mine.filter((cost, i) => theirs[i] < Infinity && cost < theirs[i]).length;
    return claims[found.verdict] + "; " + apart + ". " +
      (kinds.length ? "Problem by problem it is cheaper " + kinds.join(", ") + "; at the price set above, on " + cheaper + "." : "") +
      (data.cores[core()] > 1 ? " All this on " + data.cores[core()] + " cores." : "") +
      (ownTime() ? " The solvers' own time is added, at " + duration(seconds()) + " an evaluation." : "");
  }

  function writePair() {
    byId("pair-says").textContent = pairSentence(Number(byId("pair-a").value), Number(byId("pair-b").value));
  }

  const usesJacobians = (j) => data.hits.some((tau) => tau[j][0].q !== 0 || tau[j][0].s !== undefined && tau[j][0].s !== 0);

  // Pairs of one algorithm: without jacobians, with jacobians.
  function pairs() {
    const alike = (a, b) => data.solvers[a].algorithm === data.solvers[b].algorithm;
    const withJac = everyone.filter(usesJacobians);
    const without = everyone.filter((j) => !usesJacobians(j));
    return without.flatMap((a) => withJac.filter((b) => alike(a, b)).map((b) => [a, b]));
  }

  function drawBreakEven() {
    byId("break-even-note").textContent =
      "Solvers without jacobians against the same algorithm with them, at tau = " + byId("tau").value + " on " +
      count(data.cores[core()], "core") + ". Prices of a jacobian in " + priceUnit() + ", the unit of the slider: the one " +
      "from which on the first costs less in total over the problems that both solve, and those of single problems, " +
      "where 0 stands for always and inf for never." +
      (ownTime() ? " The solvers' own time is added, at " + duration(seconds()) + " an evaluation." : "");
    const say = (v) => (v === undefined || v === null ? ["–", Infinity] : v === Infinity ? ["inf", v] : [three(v), v]);
    const rows = pairs().filter(([a, b]) => shown.has(a) && shown.has(b)).map(([a, b]) => {
      const found = pairOf(a, b);
      const each = found.each.map((one) => one.threshold).filter((v) => v !== null).sort((u, v) => u - v);
      return [
        data.solvers[a].label, data.solvers[b].label, [String(found.both), found.both],
        [String(found.onlyA), found.onlyA], [String(found.onlyB), found.onlyB],
        found.verdict === null || found.verdict === "below" ? ["–", Infinity] : say(found.threshold),
        say(each[0]), say(optcoreCosts.median(each)), say(each[each.length - 1]),
      ];
    });
    byId("break-even-table").parentElement.hidden = rows.length === 0;
    if (rows.length === 0) {
      byId("break-even-note").textContent = "Of the solvers shown, none is the same algorithm as another, the one with " +
        "jacobians and the other without.";
    }
    fill(byId("break-even-table"), ["solver", "against", "both solve", "only the first", "only the second",
      "price in total", "least price", "median price", "greatest price"], rows);
  }

  // ---------- sections that are drawn when they are opened

  function drawPerformance(table) {
    const drawn = drawnSolvers();
    const compared = byId("among").checked && drawn.length ? drawn : everyone;
    optcorePlots.performanceProfile("performance-plot", data.layout, drawn.map((j) => data.solvers[j]),
      optcoreCosts.performanceProfile(table, drawn, compared), {
        title: "Performance profile",
        x: "times the lowest cost" + (byId("among").checked ? "" : " of all solvers") + "; cost: " + costText(),
        y: "share of problems solved, tau = " + byId("tau").value,
      });
  }

  let curves = null;

  // Curves are stored compressed and read when they are first asked for.
  async function unpack(id) {
    const bytes = Uint8Array.from(atob(byId(id).textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  async function drawConvergence() {
    if (curves === null) {
      curves = unpack("curves");
      const costs = (await curves).costs;
      costs.forEach((c, k) => byId("convergence-cost").append(element("option", c.title, {value: k})));
    }
    const {costs, problems, all} = await curves;
    const k = Number(byId("convergence-cost").value);
    const i = Number(byId("problem").value);
    const lines = i < 0 ? all[costs[k].key] : problems[i];
    const there = drawnSolvers().filter((j) => lines[j]);
    optcorePlots.convergence("convergence-plot", data.layout, there.map((j) => data.solvers[j]),
      there.map((j) => (i < 0 ? lines[j] : {...lines[j], x: lines[j].x[k], failed: lines[j].failed?.[k]})), {
        title: i < 0 ? count(data.problems.length, "problem") + ", median" : data.problems[i],
        x: costs[k].title, y: "(f_best - f_L) / (f_start - f_L)",
      }, byId("log").checked);
    byId("convergence-note").textContent = i < 0
      ? "At every cost the median over problems of what is left of f_start - f_L; runs that ended keep their best value. " +
        "With four solvers or fewer, the middle half of the problems is shaded."
      : "The best value so far among the points that the solver asked for, without noise. Values at 1e-16 are that or less." +
        (there.some((j) => lines[j].failures) ? " Strokes at the foot: calls that gave no value." : "");
  }

  let figures = null;

  // The figure under a heading.
  async function drawFigure(holder) {
    figures = figures || unpack("figures-data");
    const {figure} = (await figures).find((one) => one.name === holder.dataset.name);
    const hidden = new Set(everyone.filter((j) => !shown.has(j)).map((j) => optcorePlots.plain(data.solvers[j].label)));
    const isShown = (trace) => !hidden.has(trace.name) && !hidden.has(trace.legendgroup);
    optcorePlots.finished(holder.querySelector(".plot"), figure, isShown);
  }

  const drawFigures = () => Promise.all([...document.querySelectorAll("details.figure[open]")].map(drawFigure));

  const written = (v) => (v >= 1e6 ? v.toExponential(2) : Number.isInteger(v) ? String(v) : v.toPrecision(4));

  function headRows(drawn) {
    const names = element("tr", undefined, {className: "names"});
    const strategies = element("tr", undefined, {className: "strategies"});
    names.append(element("th", "problem", {scope: "col"}));
    strategies.append(element("td", ""));
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

  function cell(cost, best, label, size) {
    if (cost === Infinity) return element("td", "–", {className: "unsolved", title: label + ": not solved"});
    const td = element("td", written(cost * size));
    td.title = label + ": " + cost * size + ", " + (cost / best).toPrecision(3) + " times the lowest";
    const strength = Math.max(0, 1 - Math.log2(cost / best) / 5);
    td.style.background = "rgba(0,114,178," + (0.6 * strength).toFixed(3) + ")";
    if (cost === best) td.className = "best";
    return td;
  }

  function drawCosts(table) {
    const drawn = drawnSolvers();
    const head = element("thead");
    head.append(...headRows(drawn));
    const body = element("tbody");
    data.problems.forEach((problem, i) => {
      const best = Math.min(...drawn.map((j) => table[j][i]));
      const tr = element("tr");
      tr.append(element("th", problem, {scope: "row", title: data.n[i] === null ? "" : "n = " + data.n[i]}));
      for (const j of drawn) tr.append(cell(table[j][i], best, data.solvers[j].label, seconds() || 1));
      body.append(tr);
    });
    byId("cost-table").replaceChildren(head, body);
    enable(byId("cost-table"));
    byId("cost-table").style.setProperty("--head", head.rows[0].offsetHeight + "px");
    byId("costs-note").textContent = "Cost until solved at tau = " + byId("tau").value + ", in " + costText() +
      ". Colours compare the solvers shown, row by row; the cheapest is bold.";
  }

  function drawRuns(table) {
    const {words, status, evaluations, gap} = data.runs;
    const rows = drawnSolvers().flatMap((j) => data.problems.map((problem, i) => status[j][i] < 0 ? null : [
      data.solvers[j].label, problem, words[status[j][i]], [String(evaluations[j][i]), evaluations[j][i]],
      gap[j][i] === null ? ["inf", Infinity] : [String(gap[j][i]), gap[j][i]],
      table[j][i] === Infinity ? ["–", Infinity] : [written(table[j][i] * (seconds() || 1)), table[j][i]],
    ]).filter((row) => row));
    fill(byId("run-table"), ["solver", "problem", "ended", "evaluations", "(f_best - f_L) / (f_start - f_L)",
      "cost until solved"], rows);
  }

  const sections = {
    performance: drawPerformance, convergence: drawConvergence, costs: drawCosts, "break-even": drawBreakEven,
    runs: drawRuns, figures: drawFigures,
  };

  // ---------- drawing

  // What is being drawn; some of it has to be unpacked first.
  let drawing = Promise.resolve();
  const follow = (work) => { drawing = Promise.all([drawing, work]); };

  // The sections that are open, of those named; all costs are made once, if any section is.
  function refreshSections(only = Object.keys(sections), table = null) {
    const open = only.filter((id) => byId(id).open);
    const costs = table || (open.length ? costTable() : null);
    open.forEach((id) => follow(sections[id](costs)));
  }

  function refresh() {
    const table = costTable();
    writeControls();
    drawDataProfile(table);
    writeCheapest(table);
    writePair();
    refreshSections(undefined, table);
  }

  // At most one drawing a frame while a slider moves.
  let waiting = false;
  function soon() {
    writeControls();
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; refresh(); });
  }

  // ---------- controls

  function bindPrices() {
    const units = data.n.every((n) => n !== null) ? [["n", "n evaluations"]] : [];
    units.push(["evaluations", "evaluations"]);
    if (data.prices) units.push(["measured", "as measured"]);
    units.forEach(([value, text]) => byId("jac-unit").append(element("option", text, {value})));
    byId("cores").max = data.cores.length - 1;
    for (const id of ["jac", "cores", "seconds"]) byId(id).addEventListener("input", soon);
    byId("jac-unit").addEventListener("change", refresh);
    byId("own").addEventListener("change", refresh);
    byId("own-label").hidden = data.own === null;
    byId("own-note").textContent = "Seconds are those of the calls; the time of the solvers themselves " +
      (data.own === null ? "was not measured, and is left out." : "is left out unless it is added as measured here.");
    byId("reset").addEventListener("click", () => {
      for (const id of ["jac", "cores", "seconds"]) byId(id).value = 0;
      byId("jac-unit").selectedIndex = 0;
      byId("own").checked = false;
      refresh();
    });
  }

  function bindPair() {
    const [a, b] = data.pair;
    byId("pair-choice").hidden = byId("pair-says").hidden = everyone.length < 2;
    for (const [id, chosen] of [["pair-a", a], ["pair-b", b]]) {
      everyone.forEach((j) => byId(id).append(element("option", data.solvers[j].label, {value: j, selected: j === chosen})));
      byId(id).addEventListener("change", writePair);
    }
  }

  function bindProblems() {
    const select = byId("problem");
    select.append(element("option", "all problems (median)", {value: -1}));
    data.problems.forEach((name, i) => select.append(element("option", name, {value: i})));
    const move = (by) => {
      select.selectedIndex = (select.selectedIndex + by + select.length) % select.length;
      follow(drawConvergence());
    };
    for (const id of ["problem", "convergence-cost"]) byId(id).addEventListener("change", () => follow(drawConvergence()));
    byId("previous").addEventListener("click", () => move(-1));
    byId("next").addEventListener("click", () => move(1));
  }

  // A link to a section that is closed opens it.
  function openLinked() {
    const target = location.hash ? byId(decodeURIComponent(location.hash.slice(1))) : null;
    if (target && target.tagName === "DETAILS") target.open = true;
  }

  function bind() {
    optcoreLegend.build(data.solvers, shown, refresh);
    bindPrices();
    bindPair();
    bindProblems();
    byId("tau").addEventListener("change", refresh);
    byId("among").addEventListener("change", () => refreshSections(["performance"]));
    byId("log").addEventListener("change", refresh);
    for (const id of Object.keys(sections)) byId(id).addEventListener("toggle", () => refreshSections([id]));
    document.querySelectorAll("details.figure").forEach((d) => d.addEventListener("toggle", () => d.open && follow(drawFigure(d))));
    window.addEventListener("hashchange", openLinked);
    window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
    window.matchMedia("(min-width: 900px)").addEventListener("change", refresh);
    document.querySelectorAll("table.sortable").forEach((table) => { if (table.tHead) enable(table); });
  }

  if (!optcorePlots.there()) {
    byId("no-plots").hidden = false;
    document.body.classList.add("no-plots");
  }
  bind();
  refresh();
  openLinked();
  window.optcoreReport = {data, costTable, pairOf, shown, refresh, done: () => drawing};
})();
