// Tables sort, filter and fold; the page reads the same without this script.
(() => {
  const FOLD_ABOVE = 25;
  const FOLD_TO = 15;
  const SORT_ABOVE = 2;
  const THEMES = { "": "as the system", light: "light", dark: "dark" };

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function enhance(table) {
    const frame = table.closest(".table");
    const rows = [...(table.tBodies[0]?.rows ?? [])];
    if (!frame || !table.tHead || rows.length === 0) return;
    let isFolded = rows.length > FOLD_ABOVE;
    let words = [];
    const count = make("span", { role: "status" });
    const more = make("button", { type: "button" });

    const texts = new Map();

    function matches(row) {
      if (words.length === 0) return true;
      if (!texts.has(row)) {
        const titles = [...row.querySelectorAll("[title]")].map((one) => one.title);
        texts.set(row, [row.textContent, ...titles].join(" ").toLowerCase());
      }
      return words.every((word) => texts.get(row).includes(word));
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

    if (rows.length > SORT_ABOVE) makeSortable(table, redraw);
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

  function addThemeSwitch() {
    const names = Object.keys(THEMES);
    const button = document.querySelector(".theme");
    let now = "";
    document.querySelector(".switches").hidden = false;
    button.addEventListener("click", () => {
      now = names[(names.indexOf(now) + 1) % names.length];
      document.documentElement.dataset.theme = now;
      button.textContent = `Colours: ${THEMES[now]}`;
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
  addThemeSwitch();
  openForPrint();
  if (matchMedia("screen and (max-width: 64rem)").matches) {
    document.querySelector(".contents details").open = false;
  }
})();
