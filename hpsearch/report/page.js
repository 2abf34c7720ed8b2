"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 760px)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /* What depends on the reader's colour scheme and screen, as changes to a figure's layout. */
  function look(id, layout) {
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
    if (id !== "parallel") {
      change["margin.l"] = narrow.matches ? 30 : 64;
      change["margin.r"] = narrow.matches ? 6 : 16;
      change["margin.t"] = id === "history" ? 40 : 24;
      change["legend.font.size"] = narrow.matches ? 11 : 13;
      change["legend.entrywidth"] = narrow.matches ? 98 : 0;
    } else {
      change["margin.t"] = narrow.matches ? 52 : 64;
      change["annotations"] = (layout.annotations || []).map((tick) => ({ ...tick, bgcolor: color("--veil") }));
    }
    if (coarse) change["dragmode"] = false;  /* a finger on a figure scrolls the page */
    return change;
  }

  function restyleAll() {
    for (const id of Object.keys(data.figures)) {
      const figure = document.getElementById(id);
      Plotly.relayout(figure, look(id, figure.layout));
    }
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const numeric = head.dataset.kind === "number";
      const before = head.getAttribute("aria-sort");
      /* numbers are mostly sought from the top, words from A */
      const descending = before ? before === "ascending" : numeric && column > 0;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.sort;
      const compare = (a, b) => (numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b)));
      const rows = [...table.tBodies[0].rows];
      const known = rows.filter((row) => value(row) !== "").sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...known, ...rows.filter((row) => value(row) === ""));
    }));
  }

  function learningCurves(figure) {
    if (!figure.data.length) return;
    const chips = [...document.querySelectorAll(".chip")];
    const show = () => {
      const pressed = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.trial));
      Plotly.restyle(figure, { visible: figure.data.map((trace) => !trace.meta || pressed.has(trace.meta.trial)) });
    };
    chips.forEach((chip) => chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      show();
    }));
    document.getElementById("metric").addEventListener("change", (event) => {
      const chosen = data.metrics[event.target.value];
      Plotly.update(figure, { x: chosen.x, y: chosen.y }, { "yaxis.title.text": chosen.title, "yaxis.autorange": true }, chosen.traces);
    });
    Plotly.relayout(figure, { showlegend: false });
    show();
  }

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

  document.querySelectorAll("table.sortable").forEach(sortable);
  const drawn = Object.entries(data.figures).map(([id, figure]) => {
    const place = document.getElementById(id);
    /* A size in the layout would stay when the window changes: figures fill their boxes, whose heights the style says. */
    if (!figure.data.length) place.style.height = figure.layout.height + "px";
    delete figure.layout.height;
    const config = { ...data.config, displayModeBar: !narrow.matches };
    return Plotly.newPlot(place, figure.data, figure.layout, config).then(() => Plotly.relayout(place, look(id, place.layout)));
  });
  Promise.all(drawn).then(([, curves, parallel]) => {
    learningCurves(curves);
    parallelCoordinates(parallel);
    dark.addEventListener("change", restyleAll);
    narrow.addEventListener("change", restyleAll);
    document.body.dataset.ready = "yes";
  });
})();
