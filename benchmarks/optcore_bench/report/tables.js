"use strict";
// Tables that sort by a click on a heading and that show the rows with a given text.
const optcoreTables = (function () {
  const FEW = 9;  // tables with fewer rows have no filter

  function element(tag, text, properties) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    Object.assign(node, properties);
    return node;
  }

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

  function keyOf(row, column) {
    const td = row.cells[column];
    const text = td.dataset.value === undefined ? td.textContent.trim() : td.dataset.value;
    return text === "inf" ? Infinity : text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
  }

  function compare(u, v) {
    if (typeof u === "number" && typeof v === "number") return u < v ? -1 : u > v ? 1 : 0;
    return String(u).localeCompare(String(v));
  }

  function sortBy(table, th) {
    const column = columnOf(th);
    const descending = th.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    th.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
    rows.sort((a, b) => (descending ? compare(b[0], a[0]) : compare(a[0], b[0])));
    table.tBodies[0].append(...rows.map((pair) => pair[1]));
  }

  // Rows that hold all the words, in any column.
  function filterBy(table, text, status) {
    const words = text.toLowerCase().split(/\s+/).filter((word) => word);
    const rows = [...table.tBodies[0].rows];
    let count = 0;
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      if (!row.hidden) count += 1;
    }
    status.textContent = words.length ? count + " of " + rows.length + " rows" : "";
  }

  function addFilter(table) {
    const input = element("input", undefined, {type: "search", placeholder: "words, e.g. forward", size: 24});
    const label = element("label", "Show rows with ", {className: "field inline"});
    const status = element("span", "", {className: "note"});
    status.setAttribute("role", "status");
    label.append(input);
    input.addEventListener("input", () => filterBy(table, input.value, status));
    const line = element("p", undefined, {className: "row filter"});
    line.append(label, status);
    table.closest(".scroll").before(line);
    table.refilter = () => filterBy(table, input.value, status);
  }

  // Makes a table usable; to be called again when its body was replaced.
  function enable(table) {
    table.querySelectorAll(".sort").forEach((button) => {
      button.addEventListener("click", () => sortBy(table, button.closest("th")));
    });
    if (table.refilter) table.refilter();
    else if (table.closest(".scroll") && table.tBodies[0].rows.length >= FEW) addFilter(table);
  }

  // Fills a table: `heads` are texts, `rows` lists of [text, value to sort by] or texts.
  function fill(table, heads, rows) {
    const head = element("tr");
    for (const text of heads) {
      const th = element("th");
      th.append(element("button", text, {type: "button", className: "sort"}));
      head.append(th);
    }
    const body = element("tbody");
    for (const row of rows) {
      const tr = element("tr");
      row.forEach((cell, i) => {
        const [text, value] = Array.isArray(cell) ? cell : [cell, undefined];
        const node = element(i ? "td" : "th", text, i ? {} : {scope: "row"});
        if (value === undefined) node.className = "left";
        else node.dataset.value = value === Infinity ? "inf" : String(value);
        tr.append(node);
      });
      body.append(tr);
    }
    const thead = element("thead");
    thead.append(head);
    table.replaceChildren(thead, body);
    enable(table);
  }

  return {element, enable, fill};
})();
