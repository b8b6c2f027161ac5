// How a run stands: a table of models, a line, and Stop. `progress.py` says what travels.
// Everything is set as text: names of models and errors are nobody's markup.

const HINT_AFTER_MS = 1000;

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function row(cells, kind, parent) {
  const made = element("tr", "", parent);
  cells.forEach((cell, index) => {
    const drawn = element(kind, cell, made);
    drawn.style.textAlign = index ? "right" : "left";
    drawn.style.padding = "0 0.6em 0 0";
  });
}

function render({ model, el }) {
  const title = element("div", "", el);
  const table = element("table", "", el);
  const head = element("thead", "", table);
  const body = element("tbody", "", table);
  const line = element("div", "", el);
  line.setAttribute("role", "status");
  const stop = element("button", "Stop", el);
  stop.hidden = true;
  stop.onclick = () => {
    stop.disabled = true;
    model.send({ kind: "stop" });
  };
  // A kernel that cannot hear while its cell runs never answers: then only ■ stops.
  const hint = element("div", "", el);
  const timer = setTimeout(() => {
    const { heard, running } = model.get("state");
    if (running && !heard) hint.textContent = "Press ■ to stop; what is there is kept.";
  }, HINT_AFTER_MS);

  const draw = () => {
    const state = model.get("state");
    title.textContent = state.title;
    head.replaceChildren();
    body.replaceChildren();
    row(state.columns, "th", head);
    state.rows.forEach((cells) => row(cells, "td", body));
    line.textContent = state.line;
    stop.hidden = !state.heard;
    if (state.heard || !state.running) hint.textContent = "";
  };
  model.on("change:state", draw);
  draw();
  model.send({ kind: "ready" });
  return () => {
    clearTimeout(timer);
    model.off("change:state", draw);
  };
}

export default { render };
