// What is looked at: a unit, a piece or a composer each, -1 for none.

const state = {
  chosen: -1, // the unit in the panel
  pointed: -1, // the unit under the mouse, or reached with the arrow keys
  tips: false, // whether what is pointed at shows its notes beside it
  piece: -1, // the piece that was looked for; the points of all others are faint
  composers: new Set(), // whose units are shown; all, if there are none in it
  preview: -1, // the composer that is looked at in the legend; all others are faint
};
