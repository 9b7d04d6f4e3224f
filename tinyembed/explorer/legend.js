// The legend, which is also a filter: it shows the pressed composers, or all if none is pressed.

const composerList = document.getElementById("composers");
const everyone = document.getElementById("everyone");

const unitsBy = new Uint32Array(data.composers.length);
for (let unit = 0; unit < data.nUnits; unit++) unitsBy[composerOf(unit)]++;

composerList.append(
  ...data.composers.map((name, composer) => {
    const units = element("span", "soft", unitsBy[composer].toLocaleString("en"));
    const button = element("button", "", glyph(composer), element("span", "title", name), units);
    button.type = "button";
    button.dataset.composer = composer;
    button.title = name;
    return element("li", "", button);
  }),
);
showLegend();

function showLegend() {
  for (const button of composerList.querySelectorAll("button")) {
    const pressed = state.composers.has(Number(button.dataset.composer));
    button.setAttribute("aria-pressed", String(pressed));
  }
  composerList.classList.toggle("some", state.composers.size > 0);
  everyone.disabled = state.composers.size === 0;
}

composerList.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const composer = Number(button.dataset.composer);
  if (!state.composers.delete(composer)) state.composers.add(composer);
  const units = placedUnits.filter(isShown).length;
  announce(`${amount(units, "unit")} shown`);
  state.preview = -1;
  showLegend();
  redraw();
});

everyone.addEventListener("click", () => {
  state.composers.clear();
  showLegend();
  redraw();
  marksCanvas.focus(); // a disabled button cannot keep the focus
});

// Hovering over a composer, or focusing it, highlights its points.
for (const kind of ["pointerover", "focusin"]) {
  composerList.addEventListener(kind, ({ target }) => {
    const button = target.closest("button");
    if (button) preview(Number(button.dataset.composer));
  });
}
for (const kind of ["pointerleave", "focusout"]) {
  composerList.addEventListener(kind, () => preview(-1));
}

function preview(composer) {
  if (state.preview === composer) return;
  state.preview = composer;
  redraw();
}
