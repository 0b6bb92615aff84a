"use strict";
// From counts at the first hits to costs, profiles and break-even points. Pure functions: nothing here knows the page.
//
// The unit of cost is the time of one evaluation. With the price W of a jacobian in that unit, a problem is solved
// after p + W q where W <= 1, and after r + W s beyond, with p + q = r + s: a round in which evaluations and jacobians
// run at the same time lasts as long as the longer of them. See report/hits.py, which makes the counts.
const optcoreCosts = (function () {
  const at = (list, i) => (list === 0 ? 0 : list[i]);

  // Where a solver's own time counts, `own` has it for each problem, in evaluations; it adds to both lines.
  // Counts of a solver at one accuracy: those of the largest number of cores up to `core` that has its own.
  function countsOf(byCores, core) {
    let c = core;
    while (byCores[c] === null) c -= 1;
    return byCores[c];
  }

  // The two lines of one problem: {p, q, r, s}, or null where it isn't solved.
  function lines(counts, i) {
    const p = counts.p[i];
    if (p < 0) return null;
    const q = at(counts.q, i);
    const s = counts.s === undefined ? q : at(counts.s, i);
    const own = counts.own === undefined ? 0 : counts.own[i];
    return {p: p + own, q, r: p + own + q - s, s};
  }

  const costAt = (line, price) => (price <= 1 ? line.p + price * line.q : line.r + price * line.s);

  // Cost of each problem: Infinity where not solved. `price(i)` in evaluations; only asked where it matters.
  function costs(counts, price) {
    return counts.p.map((p, i) => {
      const line = lines(counts, i);
      if (line === null) return Infinity;
      return line.q === 0 && line.s === 0 ? line.p : costAt(line, price(i));
    });
  }

  // ---------- profiles: the definitions of optcore_bench.profiles

  // Right-continuous steps: share of problems with value <= x, at the left end and wherever it grows.
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

  // `table[j][i]`: cost of solver j on problem i. The lowest cost is that of the solvers `compared`.
  function performanceProfile(table, drawn, compared) {
    const best = table[0].map((_, i) => Math.min(...compared.map((j) => table[j][i])));
    return drawn.map((j) => steps(table[j].map((cost, i) => (cost === Infinity ? Infinity : cost / best[i])), 1));
  }

  // In units of n + 1, or of `unit` where n is null.
  function dataProfile(table, drawn, n, unit) {
    return drawn.map((j) => steps(table[j].map((cost, i) => (n === null ? cost * unit : cost / (n[i] + 1))), 0));
  }

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    if (sorted.length === 0) return null;
    if (sorted.length % 2 || sorted[middle - 1] === sorted[middle]) return sorted[middle];
    return (sorted[middle - 1] + sorted[middle]) / 2;
  }

  // ---------- break-even prices: the definitions of optcore_bench.costs.break_even, on any number of cores

  // For which prices w >= 0 of a jacobian the first is cheaper, if it costs `behind` - w `steeper` more than the second.
  function crossing(behind, steeper) {
    if (steeper > 0) return behind >= 0 ? {verdict: "above", price: behind / steeper} : {verdict: "always"};
    if (steeper < 0) return behind < 0 ? {verdict: "below", price: behind / steeper} : {verdict: "never"};
    return {verdict: behind === 0 ? "tied" : behind < 0 ? "always" : "never"};
  }

  // The price from which on the first is cheaper: 0 for always, Infinity for never, null if there is none.
  function threshold({verdict, price}) {
    if (verdict === "above") return price;
    return verdict === "always" ? 0 : verdict === "never" ? Infinity : null;
  }

  // `behind` and `steeper` of sums over `pairs`, [line of a, line of b, scale]: a jacobian costs w times scale, and w is
  // a bit above `from`.
  function gap(pairs, from) {
    let [behind, steeper] = [0, 0];
    for (const [a, b, scale] of pairs) {
      const dear = from * scale >= 1;
      behind += dear ? a.r - b.r : a.p - b.p;
      steeper += scale * (dear ? b.s - a.s : b.q - a.q);
    }
    return [behind, steeper];
  }

  // Where the sums cross. They are linear in the price; but where rounds hold both kinds of calls, only between the
  // prices at which a jacobian of some problem takes as long as an evaluation. The first change of sign decides.
  function crossingOfSums(pairs) {
    if (pairs.every(([a, b]) => a.q === a.s && b.q === b.s)) return crossing(...gap(pairs, 0));
    const edges = [0, ...new Set(pairs.map((pair) => 1 / pair[2]))].sort((u, v) => u - v);
    const begin = gap(pairs, 0)[0];
    for (const [k, edge] of edges.entries()) {
      const found = crossing(...gap(pairs, edge));
      const inside = found.price >= edge && found.price <= (edges[k + 1] ?? Infinity);
      if (inside && (found.verdict === "above") === (begin >= 0)) return found;
    }
    return {verdict: begin < 0 ? "always" : "never"};
  }

  // Two solvers, from [line of a or null, line of b or null, scale of the price] of each problem.
  function breakEven(pairs) {
    const both = pairs.filter(([a, b]) => a !== null && b !== null);
    const each = both.map((pair) => crossingOfSums([pair])).map((one) => ({...one, threshold: threshold(one)}));
    const total = both.length ? crossingOfSums(both) : {verdict: null};
    return {
      ...total, threshold: threshold(total), each, both: both.length, rows: pairs.length,
      onlyA: pairs.filter(([a, b]) => a !== null && b === null).length,
      onlyB: pairs.filter(([a, b]) => a === null && b !== null).length,
    };
  }

  return {countsOf, lines, costs, performanceProfile, dataProfile, median, breakEven};
})();
