// The unit nearest to a place: units are sorted into the squares of a grid, so few are compared.

class Grid {
  constructor(units) {
    this.side = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(units.length))));
    this.size = (data.nowhere + 1) / this.side;
    this.start = new Uint32Array(this.side * this.side + 1);
    const squares = units.map((unit) => this.#square(view.x[unit], view.y[unit]));
    for (const square of squares) this.start[square + 1]++;
    for (let i = 1; i < this.start.length; i++) this.start[i] += this.start[i - 1];
    const next = this.start.slice();
    this.units = new Uint32Array(units.length);
    units.forEach((unit, i) => (this.units[next[squares[i]]++] = unit));
  }

  // The row or column of squares in which a coordinate is.
  #line(number) {
    return Math.max(0, Math.min(this.side - 1, Math.floor(number / this.size)));
  }

  #square(x, y) {
    return this.#line(y) * this.side + this.#line(x);
  }

  // The nearest unit within reach that is accepted, or -1.
  nearest(x, y, reach, accepts) {
    let best = -1;
    let least = reach * reach;
    for (let row = this.#line(y - reach); row <= this.#line(y + reach); row++) {
      const from = this.start[row * this.side + this.#line(x - reach)];
      const to = this.start[row * this.side + this.#line(x + reach) + 1];
      for (let i = from; i < to; i++) {
        const unit = this.units[i];
        const distance = (view.x[unit] - x) ** 2 + (view.y[unit] - y) ** 2;
        if (distance < least && accepts(unit)) {
          least = distance;
          best = unit;
        }
      }
    }
    return best;
  }
}
