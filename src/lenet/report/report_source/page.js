"use strict";
/* Tables that sort, and the list of sections. */

(() => {
  /* Sorting: words by name, numbers, dates and times by value, what is none below them; a second click reverses. */
  const numberIn = (text) => {
    if (/^\d{4}-\d\d-\d\d$/.test(text)) return Date.parse(text);
    if (/^\d+(:\d\d)+$/.test(text)) return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
    return parseFloat(text.replace(/,/g, ""));
  };
  const valueOf = (row, column, words) => {
    const text = row.cells[column].textContent;
    const number = numberIn(text);
    return words ? text : Number.isNaN(number) ? -Infinity : number;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      const words = column === 0 || head.className === "words";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0], sorted = Array.from(body.rows);
        sorted.sort((one, other) => {
          const a = valueOf(one, column, words), b = valueOf(other, column, words);
          const order = words ? a.localeCompare(b, "en", { numeric: true }) : a === b ? 0 : a - b;
          return up ? order : -order;
        });
        body.append(...sorted);
      });
    });
  }

  for (const heading of document.querySelectorAll("main h2")) {
    const link = document.createElement("a");
    link.textContent = heading.textContent;
    link.href = `#${heading.parentElement.id}`;
    document.getElementById("contents").append(link);
  }
})();
