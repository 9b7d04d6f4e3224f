// Exploring the map with a mouse, with fingers, and with keys.

const MOUSE_REACH = 14; // pixels around a point that count as the point,
const FINGER_REACH = 26; // for a finger
const STILL = 5; // pixels that a pointer may move in a click

// The unit under a pixel, or -1.
function unitAt(px, py, reach = MOUSE_REACH) {
  return grid.nearest(...camera.placeAt(px, py), reach / camera.scale, isShown);
}

// The nearest unit in the quarter of the map that an arrow points to, or -1.
function unitTowards(unit, dx, dy) {
  let best = -1;
  let least = Infinity;
  for (const other of placedUnits) {
    const x = view.x[other] - view.x[unit];
    const y = view.y[other] - view.y[unit];
    const along = x * dx + y * dy;
    const across = Math.abs(x * dy) + Math.abs(y * dx);
    const distance = along * along + across * across;
    if (along > 0 && across <= along && distance < least && isShown(other)) {
      least = distance;
      best = other;
    }
  }
  return best;
}

// Pointers: one drags the map or clicks, two pinch it.
const pointers = new Map(); // pointerId -> {x, y, moved}

marksCanvas.addEventListener("pointerdown", (event) => {
  marksCanvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, moved: 0 });
  state.tips = event.pointerType === "mouse";
});

marksCanvas.addEventListener("pointermove", (event) => {
  const { offsetX: x, offsetY: y } = event;
  const pointer = pointers.get(event.pointerId);
  if (!pointer) {
    pointAt(unitAt(x, y), event.pointerType === "mouse");
    return;
  }
  const [dx, dy] = [x - pointer.x, y - pointer.y];
  pointer.moved += Math.hypot(dx, dy);
  const other = [...pointers.values()].find((one) => one !== pointer);
  if (other) {
    pointer.moved = other.moved = Infinity;
    const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
    const after = Math.hypot(x - other.x, y - other.y);
    camera.pan(dx / 2, dy / 2);
    camera.zoom(after / Math.max(before, 1), (x + other.x) / 2, (y + other.y) / 2);
  } else if (pointer.moved > STILL) {
    camera.pan(dx, dy);
    pointAt(-1);
  } else {
    return; // it may still be a click
  }
  Object.assign(pointer, { x, y });
  redraw();
});

marksCanvas.addEventListener("pointerup", (event) => {
  const pointer = pointers.get(event.pointerId);
  pointers.delete(event.pointerId);
  if (!pointer || pointer.moved > STILL) return;
  const reach = event.pointerType === "mouse" ? MOUSE_REACH : FINGER_REACH;
  const unit = unitAt(event.offsetX, event.offsetY, reach);
  if (unit >= 0) choose(unit);
});

marksCanvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
marksCanvas.addEventListener("pointerleave", () => pointAt(-1));
marksCanvas.addEventListener("blur", () => pointAt(-1));

marksCanvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const turned = Math.max(-240, Math.min(240, event.deltaY * lines));
    camera.zoom(Math.exp(-turned / 400), event.offsetX, event.offsetY);
    pointAt(unitAt(event.offsetX, event.offsetY), true);
    redraw();
  },
  { passive: false },
);

const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

marksCanvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in ARROWS) {
    const from = state.pointed >= 0 ? state.pointed : shownAs(state.chosen);
    const start = from >= 0 && isPlaced(from) && isShown(from) ? from : -1;
    const unit = start < 0 ? middleUnit() : unitTowards(start, ...ARROWS[event.key]);
    const there = unit >= 0 ? unit : start;
    if (there < 0) return;
    camera.reveal(there);
    pointAt(there, true);
    redraw();
    announce(unit >= 0 ? pointWords(unit) : "No point further in that direction.");
  } else if ((event.key === "Enter" || event.key === " ") && state.pointed >= 0) {
    choose(state.pointed);
  } else if ((event.key === "Enter" || event.key === " ") && state.chosen >= 0) {
    choose(state.chosen);
  } else {
    return;
  }
  event.preventDefault();
});

function middleUnit() {
  return grid.nearest(camera.x, camera.y, 2 * data.nowhere, isShown);
}

function zoomBy(factor) {
  camera.zoom(factor);
  redraw();
}

function seeAll() {
  camera.fit();
  redraw();
}

document.getElementById("zoom").addEventListener("click", ({ target }) => {
  if (target.value === "in") zoomBy(1.5);
  if (target.value === "out") zoomBy(1 / 1.5);
  if (target.value === "all") seeAll();
});
