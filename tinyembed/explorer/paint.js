// Draws thousands of points as pixels. A browser without a graphics card takes a tenth of a second
// to copy 20,000 small pictures to a canvas. Writing its pixels directly takes a tenth of that,
// with or without a card.

const FAINT = 0.07; // opacity of points outside the selection, 0 to 1,
const PLAIN = 0.9; // and of points in it

// The shape of every composer, side by side in one picture.
function drawStamps(radius, ratio) {
  const size = Math.ceil((radius * 1.4 + 1.5) * 2 * ratio); // in the screen's own pixels
  const kinds = Math.min(data.composers.length, HUES * SHAPES.length);
  const canvas = document.createElement("canvas");
  canvas.width = size * kinds;
  canvas.height = size;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let kind = 0; kind < kinds; kind++) {
    context.setTransform(ratio, 0, 0, ratio, size * (kind + 0.5), size / 2);
    context.beginPath();
    traceShape(context, kind, 0, 0, radius);
    context.fillStyle = hueOf(kind);
    context.fill();
    context.strokeStyle = theme.paper; // separates points that overlap
    context.lineWidth = Math.min(0.8, radius / 4);
    context.stroke();
  }
  const { buffer } = context.getImageData(0, 0, canvas.width, size).data;
  return { pixels: new Uint32Array(buffer), size, kinds };
}

// Paint units in this order over the canvas. opacity: 0 to 1.
function paintUnits(picture, units, stamps, opacity, ratio) {
  const pixels = new Uint32Array(picture.data.buffer);
  const { width, height } = picture;
  const { size, kinds } = stamps;
  const across = size * kinds; // pixels in a line of the stamps
  const opaque = Math.round(256 * opacity);
  for (const unit of units) {
    const left = Math.round(camera.pointX(unit) * ratio - size / 2);
    const top = Math.round(camera.pointY(unit) * ratio - size / 2);
    const column = (composerOf(unit) % kinds) * size;
    const fromX = Math.max(0, -left); // the part of the stamp inside the picture
    const toX = Math.min(size, width - left);
    const toY = Math.min(size, height - top);
    for (let y = Math.max(0, -top); y < toY; y++) {
      let from = y * across + column + fromX;
      let to = (top + y) * width + left + fromX;
      for (const end = from + toX - fromX; from < end; to++, from++) {
        const alpha = ((stamps.pixels[from] >>> 24) * opaque + 128) >> 8;
        if (alpha > 0) pixels[to] = blend(pixels[to], stamps.pixels[from], alpha + (alpha >> 7));
      }
    }
  }
}

// "#rrggbb" as the number in a pixel.
function asPixel(colour) {
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// One colour over another, alpha: 0 to 256. Red and blue are computed together.
function blend(below, above, alpha) {
  const redBlue = below & 0xff00ff;
  const green = below & 0x00ff00;
  const newRedBlue = redBlue + ((((above & 0xff00ff) - redBlue) * alpha) >> 8);
  const newGreen = green + ((((above & 0x00ff00) - green) * alpha) >> 8);
  return 0xff000000 | (newRedBlue & 0xff00ff) | (newGreen & 0x00ff00);
}
