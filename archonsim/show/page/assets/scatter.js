"use strict";
// Points of a sweep: what lies on which axis is chosen; infeasible points are crosses below the axis.
document.querySelectorAll('.interactive[data-kind="scatter"]').forEach((panel) => {
  const data = JSON.parse(panel.querySelector('script[type="application/json"]').textContent);
  const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999933"];
  const SCALE = [[70, 95, 180], [33, 145, 140], [217, 194, 46]], OTHER = "#8f969e"; // blue to yellow: also for the colour-blind
  const TOP = 12, BOTTOM = 58, HEIGHT = 420;
  const state = {};
  let stage = null;

  function select(name, columns, chosen) {
    const label = document.createElement("label");
    const box = document.createElement("select");
    box.append(...columns.map((one) => new Option(one, one, false, one === chosen)));
    label.append(name, box);
    panel.querySelector(".selects").append(label);
    state[name] = box.value;
    box.addEventListener("change", () => { state[name] = box.value; refresh(); });
  }

  const column = (name) => data.columns.indexOf(name);
  const isNumber = (name) => data.numeric[column(name)];

  function places() {
    const axis = column(state.across);
    const names = [...new Set(data.rows.map((row) => row[axis]))];
    return (row) => (isNumber(state.across) ? row[axis] : names.indexOf(row[axis]));
  }

  // Few values have a colour each; many numbers share a scale; names beyond the palette are grey together.
  function paint() {
    const series = [...new Set(data.rows.map((row) => row[column(state.colour)]))];
    const numbers = series.filter((one) => one !== null).sort((a, b) => a - b);
    if (isNumber(state.colour) && series.length > PALETTE.length) {
      const [low, high] = [numbers[0], numbers[numbers.length - 1]];
      const of = (value) => (value === null ? OTHER : blend((value - low) / (high - low)));
      const shown = [0, 0.25, 0.5, 0.75, 1].map((part) => numbers[Math.round(part * (numbers.length - 1))]);
      return { of, keys: shown.map((one) => [short(one), of(one)]) };
    }
    const of = (value) => PALETTE[series.indexOf(value)] ?? OTHER;
    const keys = series.slice(0, PALETTE.length).map((one) => [String(one), of(one)]);
    const more = series.length - PALETTE.length;
    return { of, keys: more > 0 ? [...keys, [`${more} others`, OTHER]] : keys };
  }

  function blend(part) {
    const at = part * (SCALE.length - 1), first = Math.min(Math.floor(at), SCALE.length - 2);
    return `rgb(${SCALE[first].map((low, channel) => Math.round(low + (at - first) * (SCALE[first + 1][channel] - low))).join(", ")})`;
  }

  function refresh() {
    const at = places();
    const values = data.rows.map(at).filter((one) => one !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = (high - low || 1) * 0.06;
    const fill = paint();
    state.fill = (row) => fill.of(row[column(state.colour)]);
    legend(panel, fill.keys);
    if (stage === null) stage = new Stage(panel, [low - pad, high + pad], () => HEIGHT, draw, pick);
    else { stage.full = [low - pad, high + pad]; stage.show(...stage.full); }
  }

  const good = (row) => row[column(state.up)] !== null && row[data.status] !== "infeasible";

  function levels() {
    const values = data.rows.filter(good).map((row) => row[column(state.up)]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = (high - low || Math.abs(high) || 1) * 0.08;
    return low > 0.5 * high ? [low - pad, high + pad] : [Math.min(0, low), high + pad]; // from 0, unless all lie close together
  }

  function spot(row) {
    const [low, high] = levels();
    const y = good(row) ? HEIGHT - BOTTOM - ((row[column(state.up)] - low) / (high - low)) * (HEIGHT - BOTTOM - TOP) : HEIGHT - BOTTOM + 34;
    return [stage.toX(places()(row)), y];
  }

  function draw(context, on) {
    stage = on;
    on.margin = { left: 58, right: 10 };
    const [low, high] = levels();
    const floor = HEIGHT - BOTTOM;
    context.strokeStyle = color("--grid");
    context.fillStyle = color("--quiet");
    context.textAlign = "right";
    for (const value of ticks(low, high, 6)) {
      const y = floor - ((value - low) / (high - low)) * (floor - TOP);
      context.beginPath();
      context.moveTo(on.margin.left, y);
      context.lineTo(on.width - on.margin.right, y);
      context.stroke();
      context.fillText(short(value), on.margin.left - 6, y + 4);
    }
    context.textAlign = "center";
    const axis = column(state.across);
    const names = [...new Set(data.rows.map((row) => row[axis]))];
    const marks = isNumber(state.across) ? ticks(on.low, on.high, on.inner / 45).map((one) => [one, short(one)])
      : names.map((one, at) => [at, String(one)]);
    for (const [value, name] of marks) {
      if (value >= on.low && value <= on.high) context.fillText(name, on.toX(value), floor + 16, 90);
    }
    context.fillStyle = color("--ink");
    context.fillText(state.across, on.margin.left + on.inner / 2, HEIGHT - 4);
    context.textAlign = "left";
    context.fillText(state.up, on.margin.left + 4, TOP + 4);
    if (!data.rows.every(good)) {
      context.fillStyle = color("--quiet");
      context.fillText("infeasible", 0, floor + 38, on.margin.left - 4);
    }
    for (const row of data.rows) {
      const [x, y] = spot(row);
      if (x < on.margin.left - 1 || x > on.width - on.margin.right + 1) continue;
      context.strokeStyle = color("--card");
      context.fillStyle = state.fill(row);
      context.lineWidth = 1;
      context.beginPath();
      if (good(row)) context.arc(x, y, 4.5, 0, 2 * Math.PI);
      else { context.strokeStyle = state.fill(row); context.lineWidth = 1.6; context.moveTo(x - 4, y - 4); context.lineTo(x + 4, y + 4); context.moveTo(x + 4, y - 4); context.lineTo(x - 4, y + 4); }
      if (good(row)) context.fill();
      context.stroke();
      context.lineWidth = 1;
    }
  }

  function pick(x, y) {
    let best = null, near = 400;
    for (const row of data.rows) {
      const [px, py] = spot(row);
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away < near) [best, near] = [row, away];
    }
    if (best === null) return "";
    return data.columns.map((name, at) => [name, best[at]]).filter(([, value]) => value !== null && value !== "")
      .map(([name, value]) => `${name}: ${typeof value === "number" ? +value.toPrecision(6) : value}`).join(" · ");
  }

  select("across", data.across, data.across[0]);
  select("up", data.up, data.up[0]);
  select("colour", data.colour, data.colour[0]);
  refresh();
});
