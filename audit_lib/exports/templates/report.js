"use strict";
// Tables sort, filter and fold; the page reads the same without this script.
(() => {
  const FOLD_ABOVE = 25;
  const FOLD_TO = 15;
  const SORT_ABOVE = 2;
  const WIDE_ABOVE = 7;
  const CROWDED_ABOVE = 12;
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function keyOf(row, column) {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  }

  function compare(a, b, isNumber) {
    return isNumber ? Number(a) - Number(b) : collator.compare(a, b);
  }

  function makeSortable(table, rows, redraw) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const isNumber = head.classList.contains("number");
      const steps = isNumber ? ["descending", "ascending"] : ["ascending", "descending"];
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const next = steps[steps.indexOf(head.getAttribute("aria-sort")) + 1];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        const order = [...rows];
        if (next) {
          head.setAttribute("aria-sort", next);
          const sign = next === "ascending" ? 1 : -1;
          // What is unknown stands last, whichever way is up.
          order.sort((a, b) => {
            const [left, right] = [keyOf(a, column), keyOf(b, column)];
            if (left === "" || right === "") return (left === "") - (right === "");
            return sign * compare(left, right, isNumber);
          });
        }
        table.tBodies[0].append(...order);
        redraw();
      });
    });
  }

  function enhance(table) {
    const frame = table.closest(".table");
    const rows = [...(table.tBodies[0]?.rows ?? [])];
    if (!frame || !table.tHead || rows.length === 0) return;
    let isFolded = rows.length > FOLD_ABOVE;
    let words = [];
    const count = make("span", { role: "status" });
    const more = make("button", { type: "button" });

    function matches(row) {
      const text = row.dataset.text ??= [
        row.textContent, ...[...row.querySelectorAll("[title]")].map((one) => one.title),
      ].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    }

    function redraw() {
      let found = 0;
      for (const row of table.tBodies[0].rows) {
        const fits = matches(row);
        found += fits;
        row.classList.toggle("filtered", !fits);
        row.classList.toggle("folded", isFolded && fits && found > FOLD_TO && words.length === 0);
      }
      count.textContent = words.length ? `${found} of ${rows.length} rows` : `${rows.length} rows`;
      more.textContent = isFolded ? `Show all ${rows.length} rows` : `Show the first ${FOLD_TO} rows`;
      more.setAttribute("aria-expanded", String(!isFolded));
      frame.classList.toggle("unfolded", rows.length > FOLD_ABOVE && (!isFolded || words.length > 0));
    }

    if (rows.length > SORT_ABOVE) makeSortable(table, rows, redraw);
    if (rows.length > FOLD_ABOVE) {
      const input = make("input", { type: "search", autocomplete: "off" });
      input.addEventListener("input", () => {
        words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        redraw();
      });
      more.addEventListener("click", () => {
        isFolded = !isFolded;
        redraw();
        if (isFolded) frame.scrollIntoView({ block: "nearest" });
      });
      frame.prepend(make("div", { className: "tools" }, make("label", {}, "Filter rows", input), count));
      frame.append(make("div", { className: "more" }, more));
      redraw();
    }
    const columns = table.tHead.rows[0].cells.length;
    frame.classList.toggle("wide", columns > WIDE_ABOVE);
    frame.classList.toggle("crowded", columns > CROWDED_ABOVE);
  }

  function addCodeSwitch() {
    const codes = document.querySelectorAll("details.code");
    const button = document.querySelector(".show-code");
    if (codes.length === 0) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      button.textContent = shown ? "Hide all code" : "Show all code";
      codes.forEach((code) => { code.open = shown; });
    });
  }

  function openForPrint() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("td details:not([open]), .contents details:not([open])")];
      opened.forEach((one) => { one.open = true; });
    });
    addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  }

  document.querySelectorAll(".table table").forEach(enhance);
  addCodeSwitch();
  openForPrint();
  if (matchMedia("screen and (max-width: 64rem)").matches) {
    document.querySelector(".contents details").open = false;
  }
})();
