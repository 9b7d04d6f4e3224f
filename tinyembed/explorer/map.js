// The map: all points on one canvas, and on another one above it whatever changes with the mouse,
// so that a movement does not redraw 20,000 points.

const pointsCanvas = document.getElementById("points");
const marksCanvas = document.getElementById("marks");
const tip = document.getElementById("tip");

let placedUnits, grid, drawingOrder; // of the view
const camera = new Camera(boxOf([]));
arrange();

// Lay out the points of the view.
function arrange() {
  placedUnits = Array.from({ length: data.nUnits }, (_, unit) => unit).filter(isPlaced);
  grid = new Grid(placedUnits);
  drawingOrder = shuffled(placedUnits);
  camera.box = boxOf(placedUnits);
}

function boxOf(units) {
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (const unit of units) {
    box.left = Math.min(box.left, view.x[unit]);
    box.right = Math.max(box.right, view.x[unit]);
    box.bottom = Math.min(box.bottom, view.y[unit]);
    box.top = Math.max(box.top, view.y[unit]);
  }
  return units.length ? box : { left: 0, right: 1, bottom: 0, top: 1 };
}

// The order of drawing: shuffled, always the same, so that no composer hides another.
function shuffled(units) {
  const order = Uint32Array.from(units);
  for (let i = order.length - 1, seed = 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = seed % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// Points are larger if there is space: few units, a large canvas, a high magnification.
function pointRadius() {
  const few = Math.max(2.1, Math.min(6, 26 / Math.max(placedUnits.length, 1) ** 0.25));
  const large = Math.min(Math.max(Math.min(camera.width, camera.height) / 700, 0.6), 1.2);
  return few * Math.sqrt(large) * Math.min(Math.max(camera.magnification, 1) ** 0.3, 3.2);
}

function drawPoints() {
  const { context, ratio } = sharpen(pointsCanvas);
  const { width, height } = pointsCanvas;
  if (!width || !height) return;
  const picture = new ImageData(width, height);
  new Uint32Array(picture.data.buffer).fill(asPixel(theme.paper));
  const stamps = drawStamps(pointRadius(), ratio);
  const shown = drawingOrder.filter(isShown);
  paintUnits(picture, shown.filter((unit) => !isAsked(unit)), stamps, FAINT, ratio);
  paintUnits(picture, shown.filter(isAsked), stamps, PLAIN, ratio);
  context.putImageData(picture, 0, 0);
}

// The chosen unit, lines to its neighbours, the units pointed at or playing, a piece's path.
function drawMarks() {
  const { context } = sharpen(marksCanvas);
  const radius = pointRadius();
  if (state.piece >= 0) drawWay(context, state.piece);
  const ring = (unit, wider, colour, thick) => {
    context.beginPath();
    context.arc(...camera.pointOf(unit), radius + wider, 0, 2 * Math.PI);
    context.strokeStyle = theme.paper;
    context.lineWidth = thick + 2;
    context.stroke();
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.stroke();
  };
  const enlarged = (unit, wider) => {
    context.beginPath();
    traceShape(context, composerOf(unit), ...camera.pointOf(unit), radius + wider);
    context.fillStyle = hueOf(composerOf(unit));
    context.fill();
    context.strokeStyle = theme.paper;
    context.lineWidth = 1.2;
    context.stroke();
  };
  const chosen = shownAs(state.chosen);
  if (chosen >= 0 && isPlaced(chosen)) {
    const neighbours = neighboursOf(chosen);
    context.beginPath();
    for (const { unit } of neighbours) {
      context.moveTo(...camera.pointOf(chosen));
      context.lineTo(...camera.pointOf(unit));
    }
    for (const [colour, thick] of [[theme.paper, 3.5], [theme.ink, 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.stroke();
    }
    for (const { unit } of neighbours.slice().reverse()) {
      enlarged(unit, 1.5);
      ring(unit, 3, theme.ink, 1);
    }
    enlarged(chosen, 3);
    ring(chosen, 5.5, theme.ink, 2.5);
  }
  if (state.pointed >= 0 && state.pointed !== chosen) {
    enlarged(state.pointed, 2);
    ring(state.pointed, 4.5, theme.accent, 2.5);
  }
  const playing = player.now ? shownAs(player.now.unit) : -1;
  if (playing >= 0 && isPlaced(playing)) ring(playing, 9, theme.accent, 2);
}

// A line through the units of a piece, in their order.
function drawWay(context, piece) {
  context.beginPath();
  for (let unit = pieceStart[piece]; unit < pieceStart[piece + 1]; unit++) {
    if (isPlaced(unit)) context.lineTo(...camera.pointOf(unit));
  }
  context.strokeStyle = theme.soft;
  context.globalAlpha = 0.4;
  context.lineWidth = 1;
  context.stroke();
  context.globalAlpha = 1;
}

// Draw at the next frame, once, even if it is called several times.
const stale = { points: false, marks: false };

function redraw(what = "points") {
  if (!stale.points && !stale.marks) requestAnimationFrame(drawFrame);
  stale[what] = true;
}

function drawFrame() {
  const { points } = stale;
  stale.points = stale.marks = false;
  if (points) drawPoints();
  drawMarks();
  showTip();
}

// The tip: the notes of the unit that is pointed at, beside it.
function showTip() {
  const unit = state.pointed;
  tip.hidden = unit < 0 || !state.tips;
  if (tip.hidden) return;
  const [canvas, words] = tip.children;
  words.replaceChildren(
    glyph(composerOf(unit)),
    element("b", "", composerName(unit)),
    element("span", "", ...breakable(pieceTitle(data.piece[unit]))),
    element("span", "soft", [beatsWords(unit), clockWords(unit)].filter(Boolean).join(" · ")),
  );
  drawRoll(canvas, unit);
  const [px, py] = camera.pointOf(unit);
  const { offsetWidth: width, offsetHeight: height } = tip;
  const right = px + 18 + width < camera.width ? px + 18 : px - 18 - width;
  const below = Math.min(Math.max(py - height / 2, 6), camera.height - height - 6);
  tip.style.transform = `translate(${Math.max(right, 6)}px, ${Math.max(below, 6)}px)`;
}
