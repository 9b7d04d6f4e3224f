// The panel: the chosen unit, large, and the units nearest to it.

const welcome = document.getElementById("welcome");
const chosenArticle = document.getElementById("chosen");
const chosenRoll = chosenArticle.querySelector(".roll");
const neighbourList = document.getElementById("neighbours");
const playButton = document.getElementById("play");
const earlierButton = document.getElementById("earlier");
const laterButton = document.getElementById("later");
const tempo = document.getElementById("tempo");

function showPanel() {
  const unit = state.chosen;
  welcome.hidden = unit >= 0;
  chosenArticle.hidden = unit < 0;
  if (unit < 0) return;
  const part = (selector) => chosenArticle.querySelector(selector);
  part(".composer").replaceChildren(glyph(composerOf(unit)), composerName(unit));
  part("h2").replaceChildren(...breakable(pieceTitle(data.piece[unit])));
  part(".when").textContent = [beatsWords(unit), clockWords(unit)].filter(Boolean).join(" · ");
  earlierButton.disabled = stepFrom(unit, -1) < 0;
  laterButton.disabled = stepFrom(unit, 1) < 0;
  const neighbours = neighboursOf(unit);
  const none = document.getElementById("none");
  none.hidden = neighbours.length > 0;
  none.textContent = isPlaced(shownAs(unit))
    ? "There is no other piece here."
    : "No note begins in these four beats, so nothing is like them.";
  neighbourList.replaceChildren(...neighbours.map(neighbourItem));
  part("h3").textContent = showsPieces() ? "Nearest pieces" : "Nearest in other pieces";
  const [shown, all, what] = showsPieces()
    ? [data.pieces.length, data.allPieces, "piece"]
    : [data.nUnits, data.allUnits, "unit"];
  part(".among").textContent =
    shown < all && neighbours.length > 0
      ? `Among the ${amount(shown, what)} that were drawn for this page.`
      : "";
  showRolls();
  showPlaying();
}

function neighbourItem({ unit, cosine }, i) {
  const roll = element("canvas", "roll");
  const title = element("span", "title", ...breakable(pieceTitle(data.piece[unit])));
  const place = composerName(unit) + (showsPieces() ? "" : ` · beat ${data.beat[unit]}`);
  const by = element("span", "by", glyph(composerOf(unit)), place);
  const words = element("span", "words", title, by);
  const likeness = element("span", "cosine", cosine.toFixed(3));
  likeness.title = "cosine: 1 is the same direction";
  const play = element("button", "neighbour", roll, words, likeness);
  play.type = "button";
  play.dataset.unit = unit;
  play.setAttribute("aria-label", `Play ${i + 1}: ${pointWords(unit)}, cosine ${cosine.toFixed(3)}`);
  const go = element("button", "go", "→");
  go.type = "button";
  go.dataset.unit = unit;
  go.title = `Choose this ${showsPieces() ? "piece" : "unit"}`;
  go.setAttribute("aria-label", `Choose ${pointWords(unit)}`);
  return element("li", "", play, go);
}

// Draw all rolls of the panel. A canvas without a size is drawn when it gets one.
function showRolls() {
  if (state.chosen < 0) return;
  const playhead = (unit) => (player.now?.unit === unit ? player.tick : undefined);
  drawRoll(chosenRoll, state.chosen, playhead(state.chosen));
  for (const button of neighbourList.querySelectorAll(".neighbour")) {
    const unit = Number(button.dataset.unit);
    drawRoll(button.querySelector(".roll"), unit, playhead(unit));
  }
}

// While something plays: only its own roll changes.
function showPlayhead() {
  const { unit } = player.now ?? {};
  if (unit === undefined) return;
  if (unit === state.chosen) drawRoll(chosenRoll, unit, player.tick);
  const button = neighbourList.querySelector(`.neighbour[data-unit="${unit}"]`);
  if (button) drawRoll(button.querySelector(".roll"), unit, player.tick);
}

// Update the buttons that show whether something is playing.
function showPlaying() {
  const unit = player.now?.unit ?? -1;
  playButton.textContent = unit >= 0 && unit === state.chosen ? "Stop" : "Play";
  for (const button of neighbourList.querySelectorAll(".neighbour")) {
    button.classList.toggle("playing", Number(button.dataset.unit) === unit);
  }
}

// The previous or the next unit of the same piece, or -1.
function stepFrom(unit, by) {
  const piece = data.piece[unit];
  const other = unit + by;
  return other >= pieceStart[piece] && other < pieceStart[piece + 1] ? other : -1;
}

playButton.addEventListener("click", () => {
  if (player.now?.unit === state.chosen) silence();
  else play(state.chosen);
});

earlierButton.addEventListener("click", () => step(-1));
laterButton.addEventListener("click", () => step(1));

function step(by) {
  const unit = stepFrom(state.chosen, by);
  if (unit >= 0) choose(unit);
}

tempo.addEventListener("input", () => {
  document.querySelector('output[for="tempo"]').textContent = tempo.value;
});

neighbourList.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const unit = Number(button.dataset.unit);
  if (button.className === "go") {
    choose(unit);
    playButton.focus(); // the button that was pressed is gone
  } else if (player.now?.unit === unit) silence();
  else play(unit);
});

// Pointing at a neighbour in the list marks it on the map.
for (const kind of ["pointerover", "focusin"]) {
  neighbourList.addEventListener(kind, ({ target }) => {
    const button = target.closest("button");
    if (button) pointAt(Number(button.dataset.unit), false);
  });
}
for (const kind of ["pointerleave", "focusout"]) {
  neighbourList.addEventListener(kind, () => pointAt(-1));
}

neighbourList.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  const buttons = [...neighbourList.querySelectorAll(".neighbour")];
  const at = buttons.indexOf(event.target.closest("li").querySelector(".neighbour"));
  buttons[at + by]?.focus();
  event.preventDefault();
});
