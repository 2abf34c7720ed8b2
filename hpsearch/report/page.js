"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 760px)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const byId = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const places = Object.keys(data.figures).map(byId);

  /* ---- figures: their place on the page */

  /* Room above a figure for its legend, on wide and on narrow pages. */
  const room = (place) => (place.dataset.room || "44 62").split(" ").map(Number)[narrow.matches ? 1 : 0];

  /* Small multiples in as many columns as fit, and the height they take. */
  function panels(place, layout) {
    const { panels: count, rowHeight, gapX, gapY } = layout.meta;
    const top = narrow.matches ? 92 : 66, bottom = layout.coloraxis ? 92 : 44;
    const width = place.clientWidth - (narrow.matches ? 56 : 80);
    const most = Math.max(1, Math.min(count, 3, Math.floor((width + gapX) / (230 + gapX))));
    const rows = Math.ceil(count / most), columns = Math.ceil(count / rows), inside = rows * rowHeight;
    const part = (index, of, gap) => {
      const size = (1 - gap * (of - 1)) / of;
      return [index * (size + gap), Math.min(1, index * (size + gap) + size)];
    };
    const change = { "margin.t": top, "margin.b": bottom, "legend.y": 1 };
    for (let index = 0; index < count; index++) {
      const name = index ? index + 1 : "", row = Math.floor(index / columns);
      change[`xaxis${name}.domain`] = part(index % columns, columns, gapX / width);
      change[`yaxis${name}.domain`] = part(rows - 1 - row, rows, gapY / inside);
    }
    place.style.height = `${inside + top + bottom}px`;
    change.height = inside + top + bottom;
    return change;
  }

  /* What depends on the reader's colour scheme and screen, as changes to a figure's layout. */
  function look(place) {
    const id = place.id, layout = place.layout;
    const change = {
      "font.color": color("--text"), "paper_bgcolor": color("--card"), "plot_bgcolor": color("--card"),
      "hoverlabel.bgcolor": color("--card"), "hoverlabel.bordercolor": color("--muted"),
      "hoverlabel.font.color": color("--text"),
      "modebar.bgcolor": "rgba(0,0,0,0)", "modebar.color": color("--muted"), "modebar.activecolor": color("--accent"),
    };
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      change[axis + ".gridcolor"] = color("--grid");
      change[axis + ".linecolor"] = color("--line");
    }
    if (id === "parallel") {
      change["margin.t"] = narrow.matches ? 52 : 64;
      change["annotations"] = (layout.annotations || []).map((tick) => ({ ...tick, bgcolor: color("--veil") }));
    } else {
      change["margin.l"] = narrow.matches ? 30 : 64;
      change["margin.r"] = narrow.matches ? 6 : 16;
      change["margin.t"] = room(place);
      change["legend.font.size"] = narrow.matches ? 11 : 13;
      if (id === "history") change["legend.entrywidth"] = narrow.matches ? 98 : 0;
      change["font.size"] = narrow.matches ? 11.5 : 13;
    }
    if (layout.meta && layout.meta.panels) Object.assign(change, panels(place, layout));
    if (coarse) change["dragmode"] = false;  /* a finger on a figure scrolls the page */
    return change;
  }

  const restyleAll = () => places.forEach((place) => Plotly.relayout(place, look(place)));

  /* The page holds each hover text once; figures have their numbers. */
  function expanded(trace) {
    if (trace.text && trace.text.shared) trace.text = trace.text.shared.map((index) => data.texts[index]);
    return trace;
  }

  function draw(place) {
    const figure = data.figures[place.id], { layout } = figure;
    /* A size in the layout would stay when the window changes: figures fill their boxes, whose heights the page gives. */
    if (!figure.data.length) place.style.height = "200px";
    else if (place.dataset.fits) place.style.height = `${layout.height - 48}px`;
    delete layout.height;
    const config = { ...data.config, displayModeBar: !narrow.matches };
    return Plotly.newPlot(place, figure.data.map(expanded), layout, config)
      .then(() => Plotly.relayout(place, look(place)));
  }

  /* ---- tables */

  const minus = (text) => text.replace("-", "\u2212");
  const score = (value) => (value === null ? "\u2013" : minus(Math.abs(value) < 10 ? value.toFixed(4) : String(Number(value.toPrecision(5)))));
  const short = (value) => (value === null ? "\u2013" : minus(String(Number(value.toPrecision(4))).replace("e+", "e")));

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const numeric = head.dataset.kind === "number";
      const before = head.getAttribute("aria-sort");
      /* numbers start from the better side, words from A */
      const descending = before ? before === "ascending" : numeric && head.dataset.first === "high";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.sort;
      const compare = (a, b) => (numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b)));
      const rows = [...table.tBodies[0].rows];
      const filled = rows.filter((row) => value(row) !== "").sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...filled, ...rows.filter((row) => value(row) === ""));
    }));
  }

  /* ---- what was measured by epoch: curves and table */

  const curves = data.curves;
  const RATE = -1;
  const trialOf = (number) => curves.trials.find((trial) => trial.number === Number(number));
  const series = (trial, run, metric) => (metric === RATE ? trial.rate.slice(0, run.train.length) : run.metrics[metric]);

  /* Mean over runs, up to the last point that all of them reached; a gap where one of them has no value. */
  function mean(runs, of) {
    const columns = runs.map(of), length = Math.min(...columns.map((column) => column.length));
    return Array.from({ length }, (_, index) => {
      const values = columns.map((column) => column[index]);
      return values.includes(null) ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
    });
  }

  function lines(trial, runs, of, paint, axes, tail) {
    const x = [], y = [], text = [];
    for (const run of runs) {
      const values = of(run);
      x.push(...trial.epoch.slice(0, values.length), null);
      y.push(...values, null);
      const name = run.fold === null ? `mean of ${run.of}` : `fold ${run.fold + 1}` + (run.repeat ? `, repeat ${run.repeat + 1}` : "");
      text.push(...values.map(() => name), "");
    }
    return {
      x, y, text, mode: "lines", line: { width: 1, color: paint }, opacity: 0.45, ...axes, showlegend: false,
      meta: { trial: trial.label }, name: trial.label,
      hovertemplate: `${trial.label}${tail}, %{text}<br>%{y:.4f}<br>epoch %{x:.4g}<extra></extra>`,
    };
  }

  function bold(trial, values, paint, axes, tail, dotted) {
    return {
      x: trial.epoch.slice(0, values.length), y: values, mode: "lines+markers", marker: { size: 5 },
      line: { width: dotted ? 2 : 3, color: paint, dash: dotted ? "dot" : "solid" }, ...axes, showlegend: false,
      meta: { trial: trial.label }, name: trial.label,
      hovertemplate: `${trial.label}${tail}<br>%{y:.4f}<br>epoch %{x:.4g}<extra></extra>`,
    };
  }

  /* The same traces as learning_curves_figure.py draws: folds, mean, ring, loss of folds, its mean, training loss. */
  function tracesOf(trial, metric, fold, paint) {
    const chosen = fold === "all" || fold === "mean" ? trial.runs : trial.runs.filter((run) => run.fold === Number(fold));
    if (!chosen.length) return [];
    const thin = fold === "mean" || chosen[0].fold === null ? [] : chosen;
    const above = { xaxis: "x", yaxis: "y" }, below = { xaxis: "x2", yaxis: "y2" };
    const values = mean(chosen, (run) => series(trial, run, metric));
    const at = metric === RATE || trial.point === null || trial.point > values.length ? null : trial.point - 1;
    return [
      lines(trial, thin, (run) => series(trial, run, metric), paint, above, ""),
      bold(trial, values, paint, above, "", false),
      {
        x: at === null ? [] : [trial.epoch[at]], y: at === null ? [] : [values[at]], mode: "markers", ...above, showlegend: false,
        marker: { symbol: "circle-open", size: 13, color: paint, line: { width: 3 } }, meta: { trial: trial.label }, name: trial.label,
        hovertemplate: `${trial.label}<br>value read here: %{y:.4f}<br>epoch %{x:.4g}<extra></extra>`,
      },
      ...(curves.loss < 0 ? [] : [
        lines(trial, thin, (run) => run.metrics[curves.loss], paint, below, ", validation"),
        bold(trial, mean(chosen, (run) => run.metrics[curves.loss]), paint, below, ", validation", false),
      ]),
      bold(trial, mean(chosen, (run) => run.train), paint, below, ", training", true),
    ];
  }

  function learningCurves(place) {
    if (!curves || !curves.trials.length) return;
    const chips = byId("chips"), metric = byId("metric"), fold = byId("fold"), more = byId("more");
    const paints = new Map([...chips.querySelectorAll(".chip")].map((chip) => [Number(chip.dataset.trial), chip.dataset.color]));
    const show = () => {
      const pressed = [...chips.querySelectorAll('.chip[aria-pressed="true"]')].map((chip) => Number(chip.dataset.trial));
      const index = Number(metric.value);
      const traces = pressed.flatMap((number) => tracesOf(trialOf(number), index, fold.value, paints.get(number)));
      const layout = { ...place.layout, showlegend: false };
      layout.yaxis = { ...layout.yaxis, autorange: true, title: { ...layout.yaxis.title, text: index === RATE ? "learning rate" : curves.titles[index] } };
      return Plotly.react(place, traces, layout, { ...data.config, displayModeBar: !narrow.matches });
    };
    const listen = (chip) => chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      show();
    });
    chips.querySelectorAll(".chip").forEach(listen);
    more.addEventListener("change", () => {
      const number = Number(more.value);
      if (more.value === "") return;
      let chip = chips.querySelector(`.chip[data-trial="${number}"]`);
      if (!chip) {
        const trial = trialOf(number);
        paints.set(number, trial.color || curves.colors[paints.size % curves.colors.length]);
        chip = document.createElement("button");
        chip.type = "button"; chip.className = "chip"; chip.dataset.trial = number;
        const dot = document.createElement("i");
        dot.style.background = paints.get(number);
        chip.append(dot, trial.label);
        chips.append(chip);
        listen(chip);
      }
      chip.setAttribute("aria-pressed", "true");
      more.value = "";
      show();
    });
    metric.addEventListener("change", show);
    fold.addEventListener("change", show);
    return show();
  }

  function epochTable() {
    const table = byId("epochs");
    if (!table || !curves) return;
    const body = table.tBodies[0], chosen = byId("epochs-trial"), fold = byId("epochs-fold"), note = byId("epochs-note");
    const cell = (row, value, text) => {
      const made = row.insertCell();
      made.dataset.sort = value === null ? "" : String(value);
      made.textContent = text;
    };
    const order = curves.metrics.map((_, index) => index).filter((index) => index !== curves.loss);
    const fill = () => {
      const trial = trialOf(chosen.value);
      const runs = fold.value === "mean" ? trial.runs : trial.runs.filter((run) => run.fold === Number(fold.value));
      body.replaceChildren();
      table.querySelectorAll("th").forEach((head) => head.removeAttribute("aria-sort"));
      const count = runs.length && runs[0].fold === null ? runs[0].of : runs.length;
      note.textContent = runs.length
        ? `${trial.label}, ${trial.state}; ${count > 1 ? `mean of ${count} runs, up to the last point that all of them reached` : "one run"}.`
        : `${trial.label}, ${trial.state}; ${trial.runs[0].fold === null ? "this page has only the mean of its folds" : "this fold has not begun"}.`;
      if (!runs.length) return;
      const train = mean(runs, (run) => run.train), seconds = mean(runs, (run) => run.seconds);
      const values = curves.metrics.map((_, index) => mean(runs, (run) => run.metrics[index]));
      train.forEach((_, index) => {
        const row = body.insertRow();
        if (trial.point === index + 1) row.className = "best";
        cell(row, trial.epoch[index], short(trial.epoch[index]));
        cell(row, train[index], score(train[index]));
        if (curves.loss >= 0) cell(row, values[curves.loss][index], score(values[curves.loss][index]));
        order.forEach((metric) => cell(row, values[metric][index], score(values[metric][index])));
        cell(row, trial.rate[index], short(trial.rate[index]));
        cell(row, seconds[index], seconds[index] === null ? "\u2013" : `${Number(seconds[index].toPrecision(3))} s`);
      });
    };
    chosen.addEventListener("change", fill);
    fold.addEventListener("change", fill);
    fill();
  }

  /* ---- parallel coordinates */

  function parallelCoordinates(figure) {
    const opacities = figure.data.map((trace) => (trace.opacity === undefined ? 1 : trace.opacity));
    const keep = (passes) => Plotly.restyle(figure, {
      opacity: figure.data.map((trace, index) => (!trace.meta || passes(index) ? opacities[index] : 0.04)),
    });
    figure.on("plotly_selected", (event) => {
      if (!event || !event.points) return;
      const chosen = new Set(event.points.map((point) => point.curveNumber));
      keep((index) => chosen.has(index));
    });
    figure.on("plotly_deselect", () => keep(() => true));
  }

  /* ---- everything, one figure per frame, so that the page stays responsive */

  const frame = () => new Promise((resolve) => setTimeout(resolve, 0));

  async function begin() {
    document.querySelectorAll("table.sortable").forEach(sortable);
    epochTable();
    for (const place of places) {
      await draw(place);
      if (place.id === "curves" && place.data.length) await learningCurves(place);
      if (place.id === "parallel") parallelCoordinates(place);
      await frame();
    }
    dark.addEventListener("change", restyleAll);
    narrow.addEventListener("change", restyleAll);
    let waiting = 0;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => places.forEach((place) => {
        if (place.layout.meta && place.layout.meta.panels) Plotly.relayout(place, look(place));
      }), 120);
    });
    document.body.dataset.ready = "yes";
  }
  begin();
})();
