"use strict";
// The legend, which is also where solvers are picked: by derivative strategy, by algorithm, one by one.
const optcoreLegend = (function () {
  const {element} = optcoreTables;
  // The picture is made by report/markup.py and holds no text of users.
  function swatch(solver) {
    const holder = document.createElement("template");
    holder.innerHTML = solver.swatch;
    return holder.content.firstChild;
  }

  // Fills the panel. `shown` is kept up to date; `changed` is called after each change.
  function build(solvers, shown, changed) {
    const byId = (id) => document.getElementById(id);
    const boxes = [];  // {input, members}: checked when all of its members are shown
    const unique = (name) => [...new Set(solvers.map((s) => s[name]))];
    const which = (test) => [...solvers.keys()].filter((j) => test(solvers[j]));

    function update() {
      for (const {input, members} of boxes) {
        const many = members.filter((j) => shown.has(j)).length;
        input.checked = many === members.length;
        input.indeterminate = many > 0 && many < members.length;
      }
      changed();
    }

    function box(text, members, picture) {
      const label = element("label");
      const input = element("input", undefined, {type: "checkbox", checked: true});
      input.addEventListener("change", () => {
        members.forEach((j) => (input.checked ? shown.add(j) : shown.delete(j)));
        update();
      });
      boxes.push({input, members});
      label.append(input, ...(picture ? [picture] : []), element("span", text));
      return label;
    }

    for (const derivative of unique("derivative").filter((d) => d)) {
      byId("derivatives").append(box(derivative, which((s) => s.derivative === derivative)));
    }
    for (const algorithm of unique("algorithm")) {
      const members = which((s) => s.algorithm === algorithm);
      const group = element("div", undefined, {className: "group"});
      const list = element("div");
      group.append(box(algorithm, members));
      members.forEach((j) => list.append(box(solvers[j].derivative || "-", [j], swatch(solvers[j]))));
      group.append(list);
      byId("solvers").append(group);
    }
    byId("all").addEventListener("click", () => { solvers.forEach((_, j) => shown.add(j)); update(); });
    byId("none").addEventListener("click", () => { shown.clear(); update(); });
    if (!optcorePlots.wide()) byId("panel").open = false;
  }

  return {build};
})();
