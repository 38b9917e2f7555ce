// The charts of the dashboard, by uPlot: reds on an axis of their own, lifted ones as their mirror,
// first codes apart. What is unusual, and the tables, are fetched as the server renders them.
"use strict";

(() => {
  const RENEW_MS = 15000;
  const ANSWER_MS = 4000;
  const HEIGHTS = { red: 180, lifted: 96, first: 96 };
  const LEAST = 4; // the top of an axis on which nothing stands
  const HANDS = new Intl.DateTimeFormat("en-GB", {
    timeZone: "Asia/Shanghai", hour: "2-digit", minute: "2-digit",
  });

  const charts = document.getElementById("charts");
  const choice = document.getElementById("choice");
  const part = document.getElementById("trends");
  const wanted = () => new URLSearchParams(new FormData(choice));
  const colour = (name) => getComputedStyle(charts).getPropertyValue(`--${name}`).trim();
  const plots = new Map(); // by the name of a chart: its plot, and what it was made for

  const hands = (seconds) => HANDS.format(seconds * 1000);

  // Writes the count above the highest bar and above the last one.
  function numbers(plot) {
    const counts = plot.data[1];
    const filled = [...counts.keys()].filter((i) => counts[i]);
    const highest = filled.reduce((best, i) => (counts[i] > counts[best] ? i : best), filled[0]);
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = colour("night-text");
    ctx.font = `${14 * devicePixelRatio}px sans-serif`;
    ctx.textAlign = "center";
    const down = plot.scales.y.dir < 0;
    ctx.textBaseline = down ? "top" : "bottom";
    for (const i of new Set([highest, filled.at(-1)])) {
      if (i === undefined) continue;
      const gap = (down ? 3 : -3) * devicePixelRatio;
      const [x, y] = [plot.valToPos(plot.data[0][i], "x", true), plot.valToPos(counts[i], "y", true)];
      ctx.fillText(counts[i], x, y + gap);
    }
    ctx.restore();
  }

  function options(name, labels) {
    const figure = document.getElementById(`chart-${name}`);
    const axis = { stroke: colour("night-text"), grid: { stroke: colour("night-line") }, ticks: { show: false } };
    const down = name === "lifted";
    const lined = labels.length > 1 || figure.dataset.lined === "yes";
    const series = labels.map((label, i) => ({
      label,
      stroke: colour(lined ? `line-${i + 1}` : figure.dataset.colour),
      fill: lined ? undefined : colour(figure.dataset.colour),
      width: lined ? 2 : 0,
      points: { show: false },
      paths: lined ? uPlot.paths.stepped({ align: 1 }) : uPlot.paths.bars({ size: [0.9, 60], align: 1 }),
    }));
    return {
      width: Math.max(200, figure.querySelector(".plot").clientWidth),
      height: HEIGHTS[name],
      cursor: { sync: { key: "trends" }, drag: { x: false, y: false } },
      legend: { show: true },
      scales: {
        // A bar stands from its time on, the last one too.
        x: { time: true, range: (plot, from, to) => [from, to + (plot.data[0][1] - plot.data[0][0])] },
        // Some room above the highest bar is for its number.
        y: { dir: down ? -1 : 1, range: (_, __, most) => [0, Math.max(LEAST, most * 1.2)] },
      },
      axes: [
        { ...axis, size: 28, side: down ? 0 : 2, values: (_, splits) => splits.map(hands) },
        { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000] },
      ],
      series: [{ label: charts.dataset.time, value: (_, at) => (at === null ? "—" : hands(at)) }, ...series],
      hooks: lined ? {} : { draw: [numbers] },
    };
  }

  function draw(name, times, lines, labels) {
    const key = JSON.stringify([labels, times[1] - times[0]]);
    const known = plots.get(name);
    if (known?.key === key) return known.plot.setData([times, ...lines]);
    known?.plot.destroy();
    const place = document.querySelector(`#chart-${name} .plot`);
    const plot = new uPlot(options(name, labels), [times, ...lines], place);
    plots.set(name, { key, plot });
  }

  async function figures() {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(`/duty/trends.json?${wanted()}`, { cache: "no-store", signal });
    if (!answer.ok) return;
    const { start, step, red, lifted, first, lines } = await answer.json();
    const times = red.map((_, i) => start + i * step);
    const said = (name) => document.querySelector(`#chart-${name} figcaption`).textContent;
    const parts = choice.elements.by.value !== "all" && lines.length;
    document.getElementById("chart-red").dataset.lined = parts ? "yes" : "no";
    if (parts) draw("red", times, lines.map((line) => line.red), lines.map((line) => line.name));
    else draw("red", times, [red], [said("red")]);
    draw("lifted", times, [lifted], [said("lifted")]);
    draw("first", times, [first], [said("first")]);
  }

  async function words() {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const address = `/dashboard/trends?lang=${choice.elements.lang.value}`;
    const answer = await fetch(address, { cache: "no-store", signal });
    if (!answer.ok) return;
    const open = part.querySelector("details")?.open;
    part.innerHTML = await answer.text(); // our own server's markup; it escapes
    const tables = part.querySelector("details");
    if (tables && open) tables.open = true;
  }

  function renew() {
    if (document.hidden) return;
    // What cannot be fetched now stays as it was; the counts say that they are old.
    figures().catch(() => {});
    words().catch(() => {});
  }

  charts.hidden = false;
  choice.hidden = false;
  choice.addEventListener("change", () => figures().catch(() => {}));
  choice.addEventListener("submit", (event) => event.preventDefault());
  new ResizeObserver(() => {
    for (const { plot } of plots.values()) {
      const width = Math.max(200, plot.root.parentElement.clientWidth);
      if (width !== plot.width) plot.setSize({ width, height: plot.height });
    }
  }).observe(charts);
  renew();
  setInterval(renew, RENEW_MS);
})();
