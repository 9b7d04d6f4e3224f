// What a point of the map is: a unit, or a piece, shown by the unit that is most typical of it.
// A view has the coordinates of each unit, and the map in words.

const views = { units: { x: data.x, y: data.y, map: data.map } };
if (data.pieceUnit) views.pieces = viewOfPieces();
let view = views.units;

function viewOfPieces() {
  const [x, y] = [0, 1].map(() => new Uint16Array(data.nUnits).fill(data.nowhere));
  data.pieceUnit.forEach((unit, piece) => {
    if (data.pieceX[piece] === data.nowhere && data.pieceY[piece] === data.nowhere) return;
    x[unit] = data.pieceX[piece];
    y[unit] = data.pieceY[piece];
  });
  return { x, y, map: data.pieceMap };
}

const showsPieces = () => view === views.pieces;

// Whether a unit is on the map. A unit without an onset has no direction and is not; of a piece,
// only the typical unit is.
function isPlaced(unit) {
  return view.x[unit] !== data.nowhere || view.y[unit] !== data.nowhere;
}

// The unit whose point stands for a unit.
function shownAs(unit) {
  return showsPieces() && unit >= 0 ? data.pieceUnit[data.piece[unit]] : unit;
}

// The nearest units to a unit, or the typical units of the pieces nearest to its piece: {unit,
// cosine}, nearest first.
function neighboursOf(unit) {
  return showsPieces()
    ? nearest(data.piece[unit], data.pieceNeighbours, data.pieceCosines, data.pieces.length).map(
        ({ index, cosine }) => ({ unit: data.pieceUnit[index], cosine }),
      )
    : nearest(unit, data.neighbours, data.cosines, data.nUnits).map(
        ({ index, cosine }) => ({ unit: index, cosine }),
      );
}

function nearest(one, neighbours, cosines, end) {
  const found = [];
  for (let i = one * data.nNeighbours; i < (one + 1) * data.nNeighbours; i++) {
    if (neighbours[i] >= end) break; // there are no more
    found.push({ index: neighbours[i], cosine: cosines[i] / 1000 });
  }
  return found;
}

// A point in words.
function pointWords(unit) {
  return showsPieces() ? `${composerName(unit)}, ${pieceTitle(data.piece[unit])}` : unitWords(unit);
}
