// Find a piece by words of its composer and its name, ignoring case and accents.

const MOST_FOUND = 50;

const query = document.getElementById("query");
const foundList = document.getElementById("found");
const pieceChip = document.getElementById("piece");

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const pieceWords = data.pieces.map(({ name, composer }) =>
  plain(`${data.composers[composer]} ${name}`),
);

function findPieces(text) {
  const words = plain(text).split(/\s+/).filter(Boolean);
  const pieces = pieceWords.map((_, piece) => piece);
  return words.length
    ? pieces.filter((piece) => words.every((word) => pieceWords[piece].includes(word)))
    : [];
}

let current = -1; // the option that Enter takes

function showFound() {
  const pieces = findPieces(query.value);
  const options = pieces.slice(0, MOST_FOUND).map((piece, i) => {
    const { composer } = data.pieces[piece];
    const units = pieceStart[piece + 1] - pieceStart[piece];
    const option = element(
      "li",
      "",
      glyph(composer),
      element("b", "", data.composers[composer]),
      element("span", "title", pieceTitle(piece)),
      element("span", "soft", amount(units, "unit")),
    );
    option.id = `found-${i}`;
    option.dataset.piece = piece;
    option.setAttribute("role", "option");
    return option;
  });
  const more = pieces.length - options.length;
  let note = more > 0 ? `and ${more.toLocaleString("en")} more` : "";
  if (!pieces.length) note = "No piece of that name";
  foundList.replaceChildren(...options);
  if (note) {
    const item = element("li", "soft", note);
    item.setAttribute("role", "presentation");
    foundList.append(item);
  }
  openFound(query.value.trim() !== "");
  setCurrent(options.length ? 0 : -1);
  if (query.value.trim()) announce(amount(pieces.length, "piece") + " found");
}

function openFound(open) {
  foundList.hidden = !open;
  query.setAttribute("aria-expanded", String(open));
}

function setCurrent(i) {
  current = i;
  const options = foundList.querySelectorAll('[role="option"]');
  options.forEach((option, j) => option.setAttribute("aria-selected", String(i === j)));
  options[i]?.scrollIntoView({ block: "nearest" });
  if (i >= 0) query.setAttribute("aria-activedescendant", options[i].id);
  else query.removeAttribute("aria-activedescendant");
}

query.addEventListener("input", showFound);
query.addEventListener("focus", () => query.value.trim() && showFound());
query.addEventListener("blur", () => openFound(false));

query.addEventListener("keydown", (event) => {
  const options = foundList.querySelectorAll('[role="option"]');
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by && options.length) {
    if (foundList.hidden) showFound();
    else setCurrent((current + by + options.length) % options.length);
  } else if (event.key === "Enter" && !foundList.hidden && current >= 0) {
    takePiece(Number(options[current].dataset.piece));
  } else if (event.key === "Escape" && !foundList.hidden) {
    openFound(false);
    event.stopPropagation(); // it closes this list and does not stop the sound
  } else {
    return;
  }
  event.preventDefault();
});

foundList.addEventListener("pointerdown", (event) => {
  event.preventDefault(); // the field keeps the focus, and with it the list
  const option = event.target.closest('[role="option"]');
  if (option) takePiece(Number(option.dataset.piece));
});

// Highlight one piece, and choose its first unit with an onset.
function takePiece(piece) {
  openFound(false);
  query.value = "";
  state.piece = piece;
  state.composers.clear(); // its composer may be hidden
  showLegend();
  pieceChip.hidden = false;
  pieceChip.querySelector("span").textContent =
    `${data.composers[data.pieces[piece].composer]}: ${pieceTitle(piece)}`;
  let unit = pieceStart[piece];
  while (unit < pieceStart[piece + 1] - 1 && !isPlaced(unit)) unit++;
  choose(unit, { aloud: false });
  redraw();
  marksCanvas.focus();
}

function leavePiece() {
  state.piece = -1;
  pieceChip.hidden = true;
  redraw();
}

pieceChip.querySelector("button").addEventListener("click", () => {
  leavePiece();
  marksCanvas.focus();
});
