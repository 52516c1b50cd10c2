"use strict";
// Search, filter and sort; the page reads the same without this script.
(() => {
  const table = document.querySelector("main table");
  const rows = [...table.tBodies[0].rows];
  const tools = document.querySelector(".tools");
  const input = tools.querySelector("input");
  const filters = [...tools.querySelectorAll("button[data-status]")];
  const shown = tools.querySelector(".shown");
  const nothing = document.querySelector(".nothing");

  function textOf(row) {
    const hints = [...row.querySelectorAll("[title]")].map((one) => one.title);
    return row.dataset.text ??= [row.textContent, ...hints].join(" ").toLowerCase();
  }

  function redraw() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const statuses = filters.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.dataset.status);
    let count = 0;
    for (const row of rows) {
      const fits = words.every((word) => textOf(row).includes(word)) && (!statuses.length || statuses.includes(row.dataset.status));
      row.classList.toggle("filtered", !fits);
      count += fits;
    }
    shown.textContent = words.length || statuses.length ? `${count} of ${rows.length} audits` : "";
    nothing.hidden = count > 0;
  }

  input.addEventListener("input", redraw);
  for (const button of filters) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      redraw();
    });
  }
  makeSortable(table);
  tools.hidden = false;
})();
