// A unit as a roll: time to the right, pitch upwards.

const LONG = 4; // ticks: the length with which an onset is drawn, so that it is visible

// playhead: the tick that is playing, or undefined.
function drawRoll(canvas, unit, playhead) {
  const { context, width, height } = sharpen(canvas);
  const perTick = width / data.ticks;
  const perRow = height / data.pitches;
  context.fillStyle = theme.line;
  for (let beat = 1; beat < data.beatsPerUnit; beat++) {
    context.fillRect(Math.round(beat * data.ticksPerBeat * perTick), 0, 1, height);
  }
  context.globalAlpha = 0.5;
  for (let row = 12; row < data.pitches; row += 12) {
    context.fillRect(0, Math.round(height - row * perRow), width, 1);
  }
  context.globalAlpha = 1;
  context.fillStyle = hueOf(composerOf(unit));
  const thick = Math.max(perRow, 1.6);
  for (const { row, tick } of notesOf(unit)) {
    const long = Math.max(Math.min(LONG, data.ticks - tick) * perTick - 0.5, 1.5);
    context.fillRect(tick * perTick, height - (row + 0.5) * perRow - thick / 2, long, thick);
  }
  if (playhead !== undefined) {
    context.fillStyle = theme.ink;
    context.fillRect(playhead * perTick, 0, 1.5, height);
  }
}
