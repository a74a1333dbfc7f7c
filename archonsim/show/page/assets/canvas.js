"use strict";
// What the interactive charts share: a canvas that fits its box, a range to zoom and pan in, mouse, touch and keys.
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const grouped = (value) => Math.round(value).toLocaleString("en").replace(/,/g, "\u202f");
const short = (value) => {
  const size = Math.abs(value);
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return `${+(value / unit).toPrecision(4)}${name}`;
  }
  return `${+value.toPrecision(4)}`;
};

/** Round steps for about `count` ticks between two values. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) || power;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(+at.toPrecision(12));
  return found;
}

/** Dark or light letters on a colour. */
function inkOn(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111111" : "#ffffff";
}

class Stage {
  /**
   * panel: the element around; range: [low, high] of all data; arrange(width) returns the height; draw(context, stage) paints; pick(x, y) says what is there.
   */
  constructor(panel, range, arrange, draw, pick) {
    Object.assign(this, { panel, full: range, arrange, draw, pick, margin: { left: 0, right: 0 } });
    [this.low, this.high] = range;
    this.canvas = panel.querySelector("canvas");
    this.readout = panel.querySelector(".readout");
    panel.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => this.act(button.dataset.do)));
    this.canvas.addEventListener("keydown", (event) => {
      const does = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all" }[event.key];
      if (does) { this.act(does); event.preventDefault(); }
    });
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.pointers = new Map();
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      this.canvas.addEventListener(kind, (event) => this[kind](event));
    }
    new ResizeObserver(() => this.paint()).observe(this.canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    window.addEventListener("redraw", () => this.paint());
    this.paint();
  }
  get inner() { return this.width - this.margin.left - this.margin.right; }
  toX(value) { return this.margin.left + ((value - this.low) / (this.high - this.low)) * this.inner; }
  toValue(x) { return this.low + ((x - this.margin.left) / this.inner) * (this.high - this.low); }
  show(low, high) {
    const whole = this.full[1] - this.full[0];
    const span = Math.min(Math.max(high - low, whole / 1e6), whole);
    const middle = (low + high) / 2;
    this.low = Math.min(Math.max(middle - span / 2, this.full[0]), this.full[1] - span);
    this.high = this.low + span;
    this.paint();
  }
  zoom(by, at = (this.low + this.high) / 2) { this.show(at - (at - this.low) * by, at + (this.high - at) * by); }
  act(what) {
    const step = (this.high - this.low) / 4;
    if (what === "in") this.zoom(0.5);
    if (what === "out") this.zoom(2);
    if (what === "left") this.show(this.low - step, this.high - step);
    if (what === "right") this.show(this.low + step, this.high + step);
    if (what === "all") this.show(...this.full);
  }
  wheel(event) {
    // A plain wheel scrolls the page; with Ctrl (as trackpads' pinch has it) or Shift it works on the chart.
    if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    if (event.ctrlKey) this.zoom(Math.exp(event.deltaY * 0.01), this.toValue(event.offsetX));
    else {
      const by = ((event.deltaX || event.deltaY) / this.inner) * (this.high - this.low);
      this.show(this.low + by, this.high + by);
    }
  }
  pointerdown(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.offsetX);
  }
  pointermove(event) {
    if (!this.pointers.has(event.pointerId)) { this.tell(event); return; }
    const before = [...this.pointers.values()];
    const values = before.map((x) => this.toValue(x));
    this.pointers.set(event.pointerId, event.offsetX);
    const after = [...this.pointers.values()];
    if (after.length === 1) {
      const by = this.toValue(after[0]) - values[0];
      this.show(this.low - by, this.high - by);
    } else if (Math.abs(after[0] - after[1]) > 4) {
      this.zoom(Math.abs(before[0] - before[1]) / Math.abs(after[0] - after[1]), (values[0] + values[1]) / 2);
    }
  }
  pointerup(event) { this.pointers.delete(event.pointerId); this.tell(event); }
  pointercancel(event) { this.pointers.delete(event.pointerId); }
  pointerleave() {}
  tell(event) {
    const said = this.pick(event.offsetX, event.offsetY, this);
    if (said) this.readout.textContent = said;
  }
  paint() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.parentElement.clientWidth;
    if (!this.width) return;
    this.height = this.arrange(this.width);
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.clearRect(0, 0, this.width, this.height);
    context.font = "12px system-ui, sans-serif";
    this.draw(context, this);
  }
}

function legend(panel, entries) {
  const place = panel.querySelector(".legend");
  place.replaceChildren(...entries.map(([name, fill]) => {
    const one = document.createElement("span");
    const swatch = document.createElement("i");
    swatch.style.background = fill;
    one.append(swatch, name);
    return one;
  }));
}
