// The selection: units, a piece and composers by index, -1 for none.

const state = {
  chosen: -1, // the unit in the panel
  pointed: -1, // the unit under the mouse, or reached with the arrow keys
  tips: false, // whether a tip shows the notes of the unit that is pointed at
  piece: -1, // the piece that was searched for; the points of all others are faint
  composers: new Set(), // whose units are shown; all if it is empty
  preview: -1, // the composer pointed at in the legend; all others are faint
};
