"use strict";
// Tables sort when a head is clicked: up, then down; rows that are equal keep their order.
document.querySelectorAll("table").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const number = head.classList.contains("number");
      const body = table.tBodies[0];
      const key = (row) => row.cells[column].dataset.key;
      const rows = [...body.rows].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === "" || b === "") return (a === "") - (b === ""); // what is unknown stays below
        const order = number ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
        return up ? order : -order;
      });
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows);
    });
  });
});
// Print in ink on paper, whatever the scheme, with all details.
window.addEventListener("beforeprint", () => {
  document.documentElement.dataset.scheme = "light";
  document.querySelectorAll("details").forEach((one) => { one.dataset.was = one.open; one.open = true; });
  window.dispatchEvent(new Event("redraw"));
});
window.addEventListener("afterprint", () => {
  delete document.documentElement.dataset.scheme;
  document.querySelectorAll("details").forEach((one) => { one.open = one.dataset.was === "true"; });
  window.dispatchEvent(new Event("redraw"));
});
