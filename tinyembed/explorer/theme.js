// The look of a composer: one of eight colours, which page.css defines for light and for dark, and
// one of four shapes, so that 32 composers can be distinguished, also by the colour-blind.

const HUES = 8;
const SHAPES = ["circle", "square", "triangle", "diamond"];

const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let theme = readTheme();

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["ink", "soft", "line", "paper", "accent"];
  return {
    ...Object.fromEntries(names.map((name) => [name, colour(name)])),
    hues: Array.from({ length: HUES }, (_, i) => colour(`hue-${i}`)),
  };
}

function hueOf(composer) {
  return theme.hues[composer % HUES];
}

function shapeOf(composer) {
  return SHAPES[Math.floor(composer / HUES) % SHAPES.length];
}

// The corners of the shapes of "radius" 1, which have about the same area. A circle has none.
const CORNERS = {
  square: [[-0.87, -0.87], [0.87, -0.87], [0.87, 0.87], [-0.87, 0.87]],
  triangle: [[0, -1.3], [1.17, 0.78], [-1.17, 0.78]],
  diamond: [[0, -1.3], [1.15, 0], [0, 1.3], [-1.15, 0]],
};

// Add a composer's shape to a canvas's path.
function traceShape(context, composer, x, y, radius) {
  const corners = CORNERS[shapeOf(composer)];
  if (!corners) {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  corners.forEach(([dx, dy], i) => {
    const at = [x + dx * radius, y + dy * radius];
    if (i) context.lineTo(...at);
    else context.moveTo(...at);
  });
  context.closePath();
}

// The same shape as an inline picture, coloured by page.css.
function glyph(composer) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-1.5 -1.5 3 3");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("glyph", `hue-${composer % HUES}`);
  const corners = CORNERS[shapeOf(composer)];
  const shape = document.createElementNS(svg.namespaceURI, corners ? "polygon" : "circle");
  if (corners) shape.setAttribute("points", corners.join(" "));
  else shape.setAttribute("r", 1);
  svg.append(shape);
  return svg;
}

// A new element with text in it, never HTML.
function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

// A name with line breaks allowed after punctuation, because file names often have no spaces.
function breakable(name) {
  return name.split(/(?<=[_/.-])/).flatMap((part) => [part, document.createElement("wbr")]);
}

// Give a canvas the resolution of the screen. Returns its context and its size, both in CSS pixels,
// and the number of screen pixels per CSS pixel.
function sharpen(canvas) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height, ratio };
}
