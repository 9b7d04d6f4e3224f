// The data of the page: names from JSON, numbers from arrays that page.py concatenated.
// A unit, a piece and a composer are each given by an index, from 0.
"use strict";

const ARRAYS = {
  int16: Int16Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  float32: Float32Array,
};

const data = readData();

function readData() {
  const about = JSON.parse(document.getElementById("about").textContent);
  const text = atob(document.getElementById("numbers").textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const arrays = about.arrays.map(({ name, type, start, length }) => [
    name,
    new ARRAYS[type](bytes.buffer, start, length),
  ]);
  const all = { ...about, ...Object.fromEntries(arrays) };
  return { ...all, nUnits: all.x.length, ticks: all.beatsPerUnit * all.ticksPerBeat };
}

// The notes of a unit's roll: {row, tick}, sorted by tick and then by row.
function notesOf(unit) {
  const notes = [];
  for (let beat = 0; beat < data.beatsPerUnit; beat++) {
    const at = data.first[unit] + beat;
    for (const cell of data.notes.subarray(data.beatStart[at], data.beatStart[at + 1])) {
      const tick = (cell % data.ticksPerBeat) + beat * data.ticksPerBeat;
      notes.push({ row: Math.floor(cell / data.ticksPerBeat), tick });
    }
  }
  return notes.sort((a, b) => a.tick - b.tick || a.row - b.row);
}

const unitComposer = Uint32Array.from(data.piece, (piece) => data.pieces[piece].composer);

function composerOf(unit) {
  return unitComposer[unit];
}

// The units of a piece are consecutive: the first unit of each piece, and the end.
const pieceStart = new Uint32Array(data.pieces.length + 1);
for (let unit = 0; unit < data.nUnits; unit++) pieceStart[data.piece[unit] + 1] = unit + 1;

// Words.

function composerName(unit) {
  return data.composers[composerOf(unit)];
}

// "Bach/suites/one.mid" by Bach is "suites/one".
function pieceTitle(piece) {
  const { name, composer } = data.pieces[piece];
  const prefix = `${data.composers[composer]}/`;
  const title = name.startsWith(prefix) ? name.slice(prefix.length) : name;
  return title.replace(/\.midi?$/i, "") || name;
}

function beatsWords(unit) {
  const beat = data.beat[unit];
  return `beats ${beat}–${beat + data.beatsPerUnit - 1}`;
}

// The time of a unit in its piece, as 1:02.5, or nothing if it is unknown.
function clockWords(unit) {
  const tenths = Math.round(10 * data.seconds[unit]);
  if (Number.isNaN(tenths)) return "";
  const seconds = String(Math.floor(tenths / 10) % 60).padStart(2, "0");
  return `${Math.floor(tenths / 600)}:${seconds}.${tenths % 10}`;
}

function unitWords(unit) {
  return `${composerName(unit)}, ${pieceTitle(data.piece[unit])}, ${beatsWords(unit)}`;
}

function amount(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
