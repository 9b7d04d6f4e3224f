// The view of the map. Places are coordinates of the data, 0 to 65,534, with y upwards; points are
// pixels of the canvas, with y downwards.

const MARGIN = 30; // pixels around all that is shown
const FARTHEST = 0.6; // times the scale at which the whole map fits
const CLOSEST = 150;

class Camera {
  width = 1;
  height = 1;
  x = 0; // the place in the centre
  y = 0;
  scale = 1; // pixels per unit of the coordinates
  whole = 1; // the scale at which the whole map fits

  // box: {left, right, bottom, top} of all units.
  constructor(box) {
    this.box = box;
  }

  // Adopt a new size of the canvas. If the whole map was visible, it still is.
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
    return this.width / 2 + (view.x[unit] - this.x) * this.scale;
  }

  pointY(unit) {
    return this.height / 2 - (view.y[unit] - this.y) * this.scale;
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

  // Move by pixels, but keep the map in sight.
  pan(dx, dy) {
    const { left, right, bottom, top } = this.box;
    this.x = Math.min(Math.max(this.x - dx / this.scale, left), right);
    this.y = Math.min(Math.max(this.y + dy / this.scale, bottom), top);
  }

  // Zoom around a pixel, whose place stays there.
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.placeAt(px, py);
    const scale = this.scale * factor;
    this.scale = Math.min(Math.max(scale, FARTHEST * this.whole), CLOSEST * this.whole);
    const [nowX, nowY] = this.placeAt(px, py);
    this.x += x - nowX;
    this.y += y - nowY;
    this.pan(0, 0);
  }

  // Move just far enough to bring a unit well into sight.
  reveal(unit) {
    const [px, py] = this.pointOf(unit);
    const margin = Math.min(60, this.width / 4, this.height / 4);
    const inside = (at, size) => Math.min(Math.max(at, margin), size - margin) - at;
    this.pan(inside(px, this.width), inside(py, this.height));
  }
}
