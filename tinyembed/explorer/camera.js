// Where the map is looked at from. Places are in the data's own numbers, 0 to 65,534, upwards;
// points are pixels of the canvas, downwards.

const MARGIN = 30; // pixels around all that is shown
const FARTHEST = 0.6; // times the scale at which the whole map fits
const CLOSEST = 150;

class Camera {
  width = 1;
  height = 1;
  x = 0; // the place in the middle
  y = 0;
  scale = 1; // pixels for one of the data's numbers
  whole = 1; // the scale at which all fits

  // box: {left, right, bottom, top} of all units.
  constructor(box) {
    this.box = box;
  }

  // Take a new size of the canvas; a map that was seen as a whole still is.
  resize(width, height) {
    const wasWhole = Math.abs(this.scale / this.whole - 1) < 1e-6;
    this.width = width;
    this.height = height;
    const { left, right, bottom, top } = this.box;
    const across = Math.max(width - 2 * MARGIN, 20) / Math.max(right - left, 1);
    const upwards = Math.max(height - 2 * MARGIN, 20) / Math.max(top - bottom, 1);
    this.whole = Math.min(across, upwards);
    if (wasWhole) this.fit();
  }

  fit() {
    const { left, right, bottom, top } = this.box;
    this.x = (left + right) / 2;
    this.y = (bottom + top) / 2;
    this.scale = this.whole;
  }

  get magnification() {
    return this.scale / this.whole;
  }

  pointX(unit) {
    return this.width / 2 + (data.x[unit] - this.x) * this.scale;
  }

  pointY(unit) {
    return this.height / 2 - (data.y[unit] - this.y) * this.scale;
  }

  pointOf(unit) {
    return [this.pointX(unit), this.pointY(unit)];
  }

  placeAt(px, py) {
    return [
      this.x + (px - this.width / 2) / this.scale,
      this.y - (py - this.height / 2) / this.scale,
    ];
  }

  // Move by pixels, but never so far that the map is out of sight.
  pan(dx, dy) {
    const { left, right, bottom, top } = this.box;
    this.x = Math.min(Math.max(this.x - dx / this.scale, left), right);
    this.y = Math.min(Math.max(this.y + dy / this.scale, bottom), top);
  }

  // Zoom so that what is at a pixel stays there.
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.placeAt(px, py);
    const scale = this.scale * factor;
    this.scale = Math.min(Math.max(scale, FARTHEST * this.whole), CLOSEST * this.whole);
    const [nowX, nowY] = this.placeAt(px, py);
    this.x += x - nowX;
    this.y += y - nowY;
    this.pan(0, 0);
  }

  // Move as little as brings a unit well into sight.
  reveal(unit) {
    const [px, py] = this.pointOf(unit);
    const margin = Math.min(60, this.width / 4, this.height / 4);
    const inside = (at, size) => Math.min(Math.max(at, margin), size - margin) - at;
    this.pan(inside(px, this.width), inside(py, this.height));
  }
}
