"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Light and dark: the system's choice until the button is used.
  const theme = document.getElementById("_theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => theme.setAttribute("aria-pressed", String(dark()));
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();

  // What a point says, beside it.
  const tip = document.getElementById("_tip");
  const hide = () => { tip.hidden = true; };
  const tell = (mark) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const most = root.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(at.right + 8, most)) + scrollX}px`;
    tip.style.top = `${Math.max(0, at.top - tip.offsetHeight - 6) + scrollY}px`;
  };
  for (const chart of document.querySelectorAll(".scroll > .chart")) {
    const marks = [...chart.querySelectorAll(".mark")];
    // The browser's own tip would stand beside ours.
    for (const mark of marks) {
      mark.setAttribute("aria-label", mark.textContent.trim());
      mark.querySelector("title")?.remove();
    }
    chart.addEventListener("pointerover", (event) => event.target.matches(".mark") ? tell(event.target) : hide());
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("focusin", (event) => tell(event.target));
    chart.addEventListener("focusout", hide);
    // One stop of Tab per chart; the arrows go from point to point.
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const seen = marks.filter((mark) => !mark.closest(".off"));
      const next = seen[(seen.indexOf(event.target) + step + seen.length) % seen.length];
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }

  // Series are shown or hidden by the legend's buttons.
  for (const button of document.querySelectorAll("[data-toggle]")) {
    const what = button.dataset.toggle === "faint" ? ".faint" : `[data-style="${button.dataset.toggle}"]`;
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      const figure = button.closest("figure");
      const off = [...figure.querySelectorAll("[data-toggle][aria-pressed=false]")].map((other) =>
        other.dataset.toggle === "faint" ? ".faint" : `[data-style="${other.dataset.toggle}"]`);
      for (const group of figure.querySelectorAll(".chart > g")) {
        if (group.matches(what)) group.classList.toggle("off", off.some((selector) => group.matches(selector)));
      }
      // The point that Tab reaches must be one that is seen.
      const seen = [...figure.querySelectorAll(".chart > g:not(.off) > .mark")];
      if (seen.length && !seen.some((mark) => mark.tabIndex === 0)) seen[0].tabIndex = 0;
    });
  }

  // Tables sort by their headings.
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sign = down ? -1 : 1;
        const key = (row) => row.cells[column];
        const order = (a, b) => {
          const [x, y] = [key(a), key(b)];
          const [p, q] = [Number(x.dataset.v ?? NaN), Number(y.dataset.v ?? NaN)];
          if (Number.isNaN(p) && Number.isNaN(q)) return sign * x.textContent.localeCompare(y.textContent, "en", { numeric: true });
          // What has no figure stays at the end.
          return Number.isNaN(p) ? 1 : Number.isNaN(q) ? -1 : sign * (p - q);
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
      });
    });
  }

  // Tables as files, with all digits.
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  for (const button of document.querySelectorAll("[data-csv]")) {
    button.addEventListener("click", () => {
      const table = document.getElementById(button.dataset.csv);
      const heads = [...table.tHead.rows[0].cells];
      const ranged = heads.map((head) => "range" in head.dataset);
      const lines = [heads.flatMap((head, column) => ranged[column]
        ? [head.textContent, `${head.textContent}: 95 % low`, `${head.textContent}: 95 % high`]
        : [head.textContent])];
      for (const row of table.tBodies[0].rows) {
        lines.push([...row.cells].flatMap((cell, column) => {
          const value = cell.dataset.v ?? (cell.textContent === "–" ? "" : cell.textContent);
          return ranged[column] ? [value, cell.dataset.low ?? "", cell.dataset.high ?? ""] : [value];
        }));
      }
      const text = lines.map((line) => line.map(quote).join(",") + "\n").join("");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      link.download = `${button.dataset.csv.replace(/_table$/, "")}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }

  // All is open on paper.
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
