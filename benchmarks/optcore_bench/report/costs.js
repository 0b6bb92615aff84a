"use strict";
// From counts at the first hits to costs, profiles and break-even points. Pure functions: nothing here knows the page.
//
// The unit of cost is the time of one evaluation. With the price W of a jacobian in that unit, a problem is solved
// after p + W q where W <= 1, and after r + W s beyond, with p + q = r + s: a round in which evaluations and jacobians
// run at the same time lasts as long as the longer of them. See report/hits.py, which makes the counts.
const optcoreCosts = (function () {
  const at = (list, i) => (list === 0 ? 0 : list[i]);

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
    return {p, q, r: p + q - s, s};
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

  // ---------- break-even points

  // Price of a jacobian from which `a` is cheaper than `b`: 0 where it always is (or alone solves the problem),
  // Infinity where it never is, null where neither solves it. As in optcore_bench, a must not use more jacobians.
  function breakEven(a, b) {
    if (a === null || b === null) return a === null && b === null ? null : a === null ? Infinity : 0;
    if (a.p < b.p) return 0;
    const [at1, rise] = [a.p + a.q - b.p - b.q, b.q - a.q];
    if (at1 < 0 || (at1 === 0 && rise > 0)) return (a.p - b.p) / rise;
    return b.s > a.s ? (a.r - b.r) / (b.s - a.s) : Infinity;
  }

  return {countsOf, lines, costs, performanceProfile, dataProfile, median, breakEven};
})();
