// Makes the heads of a table buttons that sort its rows; `done` is called after each sorting. What is unknown stands last, whichever way is up.
function makeSortable(table, done) {
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const isNumber = head.classList.contains("number");
    const steps = isNumber ? ["descending", "ascending"] : ["ascending", "descending"];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const next = steps[steps.indexOf(head.getAttribute("aria-sort")) + 1];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      let order = rows;
      if (next) {
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const keyed = rows.map((row) => {
          const cell = row.cells[column];
          return [cell.dataset.sort ?? cell.textContent.trim(), row];
        });
        keyed.sort(([left], [right]) => {
          if (left === "" || right === "") return (left === "") - (right === "");
          return sign * (isNumber ? Number(left) - Number(right) : collator.compare(left, right));
        });
        order = keyed.map(([, row]) => row);
      }
      table.tBodies[0].append(...order);
      done?.();
    });
  });
}
