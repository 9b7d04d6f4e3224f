// What a composer looks like: one of eight colours, which page.css has for light and for dark, and
// one of four shapes, so that 32 composers differ, and differ to the colour-blind.

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

// The corners of a shape of "radius" 1, all of about the same area; a circle has none.
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

// The same as a picture in a line of text, coloured by page.css.
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

// A name in which a line may break after each of its marks: names of files have no spaces.
function breakable(name) {
  return name.split(/(?<=[_/.-])/).flatMap((part) => [part, document.createElement("wbr")]);
}

// Make a canvas as sharp as the screen is. Returns its context, in CSS pixels; its size in
// them; and how many of the screen's own there are to one.
function sharpen(canvas) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height, ratio };
}
