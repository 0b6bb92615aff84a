"use strict";
// How a figure looks: traces, axes, layouts. Plotly is only asked for here.
const optcorePlots = (function () {
  const wide = () => window.matchMedia("(min-width: 900px)").matches;
  const clone = (value) => JSON.parse(JSON.stringify(value));
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  // Long titles of axes are broken before the bracket, so that they fit a phone.
  const fold = (text) => plain(wide() ? text : text.replace(/(;) |(?= \(a )/g, "$1\n")).replace(/\n/g, "<br>");

  // A small file takes plotly.js from its server: where that doesn't answer, all but the figures works.
  const there = () => typeof Plotly !== "undefined";
  const draw = (node, traces, page) => { if (there()) Plotly.react(node, traces, page, config()); };

  // Nothing leaves the page: no button that uploads a chart.
  const config = () => ({
    displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "", displayModeBar: wide(),
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
  });

  function trace(solver, curve, extra) {
    return {
      type: "scatter", name: plain(solver.label), x: curve.x, y: curve.y,
      mode: "lines+markers",
      line: {color: solver.color, dash: solver.dash, width: 2, shape: "hv"},
      marker: {symbol: solver.symbol, size: 7, maxdisplayed: 8},
      hovertemplate: "%{y:.4~g} at %{x:.4~g}<extra>" + plain(solver.label) + "</extra>",
      ...extra,
    };
  }

  function shade(solver, c) {
    const rgb = [1, 3, 5].map((i) => parseInt(solver.color.slice(i, i + 2), 16)).join(",");
    return {
      type: "scatter", x: c.x.concat([...c.x].reverse()), y: c.lower.concat([...c.upper].reverse()), fill: "toself",
      fillcolor: "rgba(" + rgb + ",0.12)", line: {width: 0}, mode: "lines", hoverinfo: "skip", showlegend: false,
      legendgroup: solver.label, name: plain(solver.label),
    };
  }

  function layout(base, title, xTitle, yTitle, count) {
    const page = clone(base);
    page.title = {text: plain(title), x: 0, xref: "paper", xanchor: "left", font: {size: 15}};
    page.xaxis.title = {text: fold(xTitle), standoff: 12, font: {size: 13}};
    page.yaxis.title = {text: plain(yTitle), standoff: 12, font: {size: 13}};
    page.showlegend = wide() && count <= 12;
    page.margin = wide() ? {l: 64, r: 12, t: 40, b: 56} : {l: 52, r: 8, t: 36, b: 72};
    if (!wide()) page.dragmode = false;  // a finger scrolls the page
    return page;
  }

  // A share that was reached stays reached: all curves end at the right end of the axis.
  function extended(curves, factor, least) {
    // Where nothing is solved, or all at once, the curves are a line that has to end somewhere.
    const last = factor * Math.max(...curves.map((c) => c.x[c.x.length - 1]));
    const right = Math.max(last, least) || 1;
    return [curves.map((c) => ({...c, x: [...c.x, right], y: [...c.y, c.y[c.y.length - 1]]})), right];
  }

  // Round numbers for an axis that is shorter than a decade, where plotly's own are few or none.
  function roundNumbers(low, high) {
    const rough = (high - low) / (wide() ? 8 : 4);
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * size).find((s) => s >= rough);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(Number((k * step).toPrecision(6)));
    return found;
  }

  // A logarithmic axis starts at the lowest cost; what was before that is left of its edge.
  function costAxis(axis, curves, right, log) {
    if (!log) {
      Object.assign(axis, {type: "linear", range: [0, right], autorange: false});
      return curves;
    }
    let low = right;
    for (const c of curves) for (const x of c.x) if (x > 0 && x < low) low = x;
    low = Math.min(low, right / 2);
    const margin = 0.03 * Math.log10(right / low);
    const short = right / low < 10;
    Object.assign(axis, {
      type: "log", range: [Math.log10(low) - margin, Math.log10(right)], autorange: false, minor: {ticks: ""},
      ...(short ? {tickvals: roundNumbers(low, right)}
        : {dtick: right / low < 30 ? "D1" : right / low < 1000 && wide() ? "D2" : 1}),
      exponentformat: right > 1e7 || low < 1e-3 ? "power" : "none",
    });
    return curves.map((c) => ({...c, x: c.x.map((x) => (x > 0 ? x : low / 2))}));
  }

  const shareAxis = (axis) => Object.assign(axis, {range: [-0.02, 1.02], tickformat: ".0%"});

  function dataProfile(id, base, solvers, curves, text, log) {
    const [long, right] = curves.length ? extended(curves, 1.03, 0) : [[], 2];
    const page = layout(base, text.title, text.x, text.y, curves.length);
    shareAxis(page.yaxis);
    const drawn = costAxis(page.xaxis, long, right, log);
    draw(id, drawn.map((c, k) => trace(solvers[k], c)), page);
  }

  function performanceProfile(id, base, solvers, curves, text) {
    const [long, right] = curves.length ? extended(curves, 1.1, 2) : [[], 2];
    const page = layout(base, text.title, text.x, text.y, curves.length);
    shareAxis(page.yaxis);
    const last = Math.max(1, Math.ceil(Math.log2(right)));
    const every = Math.ceil(last / (wide() ? 12 : 6));
    const ticks = [];
    for (let k = 0; k <= last; k += every) ticks.push(2 ** k);
    Object.assign(page.xaxis, {
      type: "log", tickvals: ticks, ticktext: ticks.map(String), range: [-0.005, Math.log10(right)],
    });
    draw(id, long.map((c, k) => trace(solvers[k], c)), page);
  }

  function convergence(id, base, solvers, curves, text, log) {
    const page = layout(base, text.title, text.x, text.y, curves.length);
    Object.assign(page.yaxis, {type: "log", exponentformat: "power", dtick: 2, autorange: true, tickfont: {size: 11}});
    const right = Math.max(1, ...curves.map((c) => 1.02 * c.x[c.x.length - 1]));
    const drawn = costAxis(page.xaxis, curves, right, log);
    const traces = drawn.flatMap((c, k) => {
      const line = trace(solvers[k], c, {legendgroup: solvers[k].label});
      return c.lower && drawn.length <= 4 ? [shade(solvers[k], c), line] : [line];
    });
    page.shapes = drawn.flatMap((c, k) => (c.failed ? [strokes(solvers[k], c, k, log)] : []));
    draw(id, traces, page);
  }

  // Where calls gave no value: a row of strokes for each solver.
  function strokes(solver, curve, row, log) {
    const low = 0.03 * (row % 12);
    return {
      type: "path", yref: "paper", opacity: 1, line: {color: solver.color, width: 1.5}, fillcolor: solver.color,
      path: curve.failed.filter((x) => x > 0 || !log).map((x) => `M${x},${low}L${x},${low + 0.022}`).join("") || "M0,0",
      name: plain(solver.label) + ": " + curve.failures + " failed", showlegend: true, legendgroup: solver.label,
    };
  }

  // Text in lines of about so many letters; what is broken already stays so.
  function broken(text, letters) {
    return text.split("<br>").map((line) => line.split(" ").reduce((lines, word) => {
      const last = lines[lines.length - 1];
      return last && (last + " " + word).length <= letters
        ? [...lines.slice(0, -1), last + " " + word] : [...lines, word];
    }, []).join("<br>")).join("<br>");
  }

  // Titles that fit a phone.
  function narrowed(page, data) {
    const title = broken(page.title?.text ?? "", 46);
    const x = broken(page.xaxis?.title?.text ?? "", 38);
    const y = broken(page.yaxis?.title?.text ?? "", 44);
    page.title = {...page.title, text: title, font: {size: 12}};
    page.xaxis = {...page.xaxis, title: {...page.xaxis?.title, text: x, font: {size: 11}}};
    page.yaxis = {...page.yaxis, title: {...page.yaxis?.title, text: y, font: {size: 11}}};
    page.margin = {...page.margin, t: 24 + 16 * title.split("<br>").length};
    for (const trace of data) {
      if (trace.colorbar) trace.colorbar = {...trace.colorbar, title: {...trace.colorbar.title, font: {size: 10}}};
    }
    return Object.assign(page, {showlegend: false, dragmode: false});
  }

  // A figure that was made elsewhere. The panel is the legend where there is no room for one, and hides what it hides.
  function finished(node, figure, isShown) {
    const data = figure.data.map((trace) => ({...trace, visible: isShown(trace) ? trace.visible ?? true : false}));
    const page = {...clone(figure.layout), autosize: true};
    delete page.width;
    if (!wide()) narrowed(page, data);
    node.style.height = (page.height || 480) + "px";
    draw(node, data, page);
  }

  return {wide, there, plain, finished, dataProfile, performanceProfile, convergence};
})();
