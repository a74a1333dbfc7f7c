"use strict";
// Tracks of spans and of levels over time. A span is [start, end, label, note]: labels and notes are numbers of texts.
document.querySelectorAll('.interactive[data-kind="timeline"]').forEach((panel) => {
  const data = JSON.parse(panel.querySelector('script[type="application/json"]').textContent);
  const HEAD = 26, GAP = 7;
  for (const track of data.tracks) track.highest = track.levels ? Math.max(...track.levels, 1e-9) : 0;

  /** Place the tracks: names stand to the left, or above where there is no room. Return the height. */
  function arrange(width) {
    const name = width < 560 ? 15 : 0;
    let top = HEAD;
    for (const track of data.tracks) {
      track.top = top + name;
      track.size = track.levels ? 44 : 24;
      top += name + track.size + GAP;
    }
    return top + 4;
  }
  const fill = (label) => data.colors[label] || "#8f969e";

  /** First span that ends after a value. */
  function first(spans, value) {
    let [low, high] = [0, spans.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (spans[middle][1] > value) high = middle; else low = middle + 1;
    }
    return low;
  }

  function drawSpans(context, stage, track) {
    let painted = -1;
    for (let at = first(track.spans, stage.low); at < track.spans.length && track.spans[at][0] < stage.high; at += 1) {
      const [start, end, label] = track.spans[at];
      const left = Math.max(stage.toX(start), stage.margin.left);
      const right = Math.min(stage.toX(end), stage.width - stage.margin.right);
      if (right <= painted) continue; // smaller than a pixel, and covered
      painted = Math.max(right, left + 0.6);
      context.fillStyle = fill(label);
      context.fillRect(left, track.top, Math.max(0.6, right - left), track.size);
      if (right - left > 3) {
        context.strokeStyle = color("--card");
        context.lineWidth = 0.7;
        context.strokeRect(left, track.top, right - left, track.size);
      }
      const room = right - left - 8;
      if (room > 12 && context.measureText(data.labels[label]).width <= room) {
        context.fillStyle = inkOn(fill(label));
        context.fillText(data.labels[label], left + 4, track.top + 16);
      }
    }
  }

  function drawLevels(context, stage, track) {
    const base = track.top + track.size;
    context.fillStyle = track.color;
    const low = Math.max(0, Math.floor(stage.low / track.window));
    for (let at = low; at < track.levels.length && at * track.window < stage.high; at += 1) {
      const left = Math.max(stage.toX(at * track.window), stage.margin.left);
      const right = Math.min(stage.toX((at + 1) * track.window), stage.width - stage.margin.right);
      const tall = (track.levels[at] / track.highest) * (track.size - 4);
      context.fillRect(left, base - tall, Math.max(0.6, right - left), tall);
    }
    context.strokeStyle = color("--line");
    context.beginPath();
    context.moveTo(stage.margin.left, base + 0.5);
    context.lineTo(stage.width - stage.margin.right, base + 0.5);
    context.stroke();
  }

  function draw(context, stage) {
    stage.margin = { left: stage.width < 560 ? 0 : 128, right: 2 };
    const count = Math.max(2, Math.floor(stage.inner / 90));
    context.textBaseline = "alphabetic";
    for (const value of ticks(stage.low, stage.high, count)) {
      const x = stage.toX(value);
      context.strokeStyle = color("--grid");
      context.beginPath();
      context.moveTo(x, HEAD - 6);
      context.lineTo(x, stage.height);
      context.stroke();
      context.fillStyle = color("--quiet");
      context.textAlign = x < stage.margin.left + 20 ? "left" : x > stage.width - 40 ? "right" : "center";
      context.fillText(stage.high - stage.low < 2e4 ? grouped(value) : short(value), x, 13);
    }
    context.textAlign = "left";
    for (const track of data.tracks) {
      if (track.levels) drawLevels(context, stage, track); else drawSpans(context, stage, track);
      const words = track.levels ? [track.name, `to ${short(track.highest)} ${track.unit}`] : [track.name];
      context.fillStyle = color("--quiet");
      if (stage.margin.left) {
        words.forEach((word, line) => context.fillText(word, 0, track.top + 16 + 15 * line, stage.margin.left - 8));
      } else context.fillText(words.join(" "), 0, track.top - 4);
    }
  }

  function pick(x, y, stage) {
    const track = data.tracks.find((one) => y >= one.top - 2 && y <= one.top + one.size + 2);
    const value = stage.toValue(x);
    if (!track || value < stage.full[0] || value > stage.full[1]) return "";
    const place = `${data.unit === "cycles" ? grouped(value) : +value.toPrecision(6)} ${data.unit}`;
    if (track.levels) {
      const level = track.levels[Math.min(track.levels.length - 1, Math.floor(value / track.window))];
      return `${place}: ${track.name} ${+level.toPrecision(4)} ${track.unit}`;
    }
    const near = ((stage.high - stage.low) / stage.inner) * 2;
    const span = track.spans[first(track.spans, value - near)];
    if (!span || span[0] > value + near) return `${place}: ${track.name}: nothing`;
    const [start, end, label, note] = span;
    const size = data.unit === "cycles" ? grouped(end - start) : +(end - start).toPrecision(5);
    const from = data.unit === "cycles" ? grouped(start) : +start.toPrecision(6);
    return `${track.name}: ${data.labels[label]}, ${size} ${data.unit} from ${from}. ${note === undefined ? "" : data.notes[note]}`;
  }

  legend(panel, data.legend);
  new Stage(panel, [0, data.total], arrange, draw, pick);
});
