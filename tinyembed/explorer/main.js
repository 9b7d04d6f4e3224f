// The actions of the user, and their effects.

function isShown(unit) {
  return isPlaced(unit) && (state.composers.size === 0 || state.composers.has(composerOf(unit)));
}

// Whether a unit that is shown is not faint.
function isAsked(unit) {
  if (state.preview >= 0) return composerOf(unit) === state.preview;
  return state.piece < 0 || data.piece[unit] === state.piece;
}

// Point at a unit, or at none with -1, with a tip beside it or only a mark.
function pointAt(unit, tips = false) {
  if (unit === state.pointed && tips === state.tips) return;
  state.pointed = unit >= 0 && isPlaced(unit) ? unit : -1;
  state.tips = tips;
  marksCanvas.classList.toggle("pointing", state.pointed >= 0);
  redraw("marks");
}

// Choose a unit: play it, and list its neighbours.
function choose(unit, { aloud = true } = {}) {
  state.chosen = unit;
  state.tips = false;
  if (isPlaced(shownAs(unit))) camera.reveal(shownAs(unit));
  if (aloud) play(unit);
  else silence();
  showPanel();
  redraw();
  const like = amount(neighboursOf(unit).length, showsPieces() ? "piece" : "unit");
  announce(`${pointWords(unit)}. ${like} like it.`);
}

function play(unit) {
  player.play(unit, Number(tempo.value));
  showPlaying();
  showRolls();
  redraw("marks");
  requestAnimationFrame(follow);
}

function silence() {
  player.stop();
  showPlaying();
  showRolls();
  redraw("marks");
}

// Frame by frame, for as long as something plays.
function follow() {
  if (!player.now) return;
  if (player.ended) {
    silence();
    return;
  }
  if (!calm.matches) showPlayhead();
  requestAnimationFrame(follow);
}

function announce(words) {
  document.getElementById("news").textContent = words;
}

// Escape undoes one step at a time.
function takeBack() {
  if (player.now) silence();
  else if (state.piece >= 0) leavePiece();
  else if (state.chosen >= 0) {
    state.chosen = -1;
    showPanel();
    redraw("marks");
  }
}

// Show one point per unit, or one per piece.
const viewButtons = document.getElementById("views");
viewButtons.hidden = !views.pieces;
viewButtons.addEventListener("click", ({ target }) => {
  if (target.value in views) setView(target.value);
});

function setView(name) {
  view = views[name];
  for (const button of viewButtons.children) {
    button.setAttribute("aria-pressed", String(button.value === name));
  }
  arrange();
  camera.resize(camera.width, camera.height);
  camera.fit();
  state.pointed = -1;
  showPanel();
  document.getElementById("summary").textContent = summary();
  redraw();
  announce(`${amount(placedUnits.length, "point")}, one for each ${showsPieces() ? "piece" : "unit"}`);
}

const KEYS = {
  Escape: takeBack,
  "/": () => query.focus(),
  "+": () => zoomBy(1.5),
  "=": () => zoomBy(1.5),
  "-": () => zoomBy(1 / 1.5),
  0: seeAll,
  p: () => views.pieces && setView(showsPieces() ? "units" : "pieces"),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target === query && event.key !== "Escape";
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  KEYS[event.key]();
  event.preventDefault();
});

function summary() {
  const drawn = data.nUnits < data.allUnits;
  const units = drawn
    ? `${data.nUnits.toLocaleString("en")} of ${amount(data.allUnits, "unit")}, drawn at random,`
    : amount(data.nUnits, "unit");
  const silent = showsPieces() ? 0 : data.nUnits - placedUnits.length;
  const without = silent
    ? ` ${amount(silent, "unit")} without an onset ${silent === 1 ? "is" : "are"} not on the map.`
    : "";
  const composers = amount(data.composers.length, "composer");
  return (
    `${units} of ${amount(data.pieces.length, "piece")} by ${composers}. ` +
    `Model: ${data.model}. Map: ${view.map}.${without}`
  );
}

document.getElementById("summary").textContent = summary();

new ResizeObserver(() => {
  camera.resize(marksCanvas.clientWidth, marksCanvas.clientHeight);
  redraw();
  showRolls();
}).observe(document.getElementById("stage"));

dark.addEventListener("change", () => {
  theme = readTheme();
  redraw();
  showRolls();
});

// For tests, and for the curious.
window.explorer = {
  ...{ data, state, camera, player, notesOf, neighboursOf, isPlaced, unitAt, setView, shownAs },
  placed: () => placedUnits,
};
