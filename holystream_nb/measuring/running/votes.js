// Two answers side by side, and four buttons. The HTML is the Python side's, in which nothing of a model acts.
const CHOICES = [["left", "Left is better"], ["right", "Right is better"], ["tie", "Tie"], ["both bad", "Both are bad"]];

function render({ model, el }) {
  function draw() {
    const state = model.get("state");
    el.replaceChildren();
    if (!state.question) return;
    const question = line("p", state.question);
    question.style.fontWeight = "bold";
    question.style.whiteSpace = "pre-wrap";
    const sides = document.createElement("div");
    sides.style.cssText = "display:grid;grid-template-columns:1fr 1fr;gap:1em";
    for (const name of ["left", "right"]) {
      const side = document.createElement("div");
      side.style.cssText = "overflow:auto;max-height:60vh;padding:0.5em;border:1px solid var(--jp-border-color2, #bbb)";
      side.setAttribute("aria-label", `${name} answer`);
      side.innerHTML = state[name];
      sides.append(side);
    }
    const buttons = document.createElement("div");
    for (const [choice, words] of CHOICES) {
      const button = line("button", words);
      button.style.cssText = "margin:0.5em 0.5em 0 0;padding:0.3em 0.8em";
      button.onclick = () => model.send({ choice, number: state.number });
      buttons.append(button);
    }
    el.append(question, sides, buttons);
  }
  model.on("change:state", draw);
  draw();
  return () => model.off("change:state", draw);
}

function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

export default { render };
