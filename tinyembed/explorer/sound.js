// The sound of a unit: every onset is struck on a simple piano, through Web Audio.

const PARTIALS = [0, 1, 0.55, 0.32, 0.2, 0.1, 0.07, 0.04, 0.03]; // the amplitude of each harmonic
const SOON = 0.06; // seconds until the first note, so that none is late
const ECHO = 0.5; // seconds after the last beat, for the strings to fade

class Player {
  context = null;
  now = null; // what is playing: {unit, start, beat, end, out}, in seconds of the context's clock
  played = []; // all units played so far: {unit, notes: [{pitch, tick, at}]}, at: on that clock

  // Play a unit. tempo: in beats per minute.
  play(unit, tempo) {
    this.stop();
    this.context ??= this.#open();
    this.context.resume(); // a browser allows sound only after an action of the user
    const beat = 60 / tempo;
    const start = this.context.currentTime + SOON;
    const out = this.context.createGain();
    out.connect(this.master);
    const notes = notesOf(unit).map(({ row, tick }) => {
      const [pitch, at] = [data.lowestPitch + row, start + (tick / data.ticksPerBeat) * beat];
      this.#strike(out, pitch, at);
      return { pitch, tick, at };
    });
    this.now = { unit, start, beat, end: start + data.beatsPerUnit * beat + ECHO, out };
    this.played.push({ unit, notes });
  }

  stop() {
    if (!this.now) return;
    const { out } = this.now;
    out.gain.setTargetAtTime(0, this.context.currentTime, 0.02);
    setTimeout(() => out.disconnect(), 200);
    this.now = null;
  }

  // The tick that is playing, or undefined before and after.
  get tick() {
    if (!this.now) return undefined;
    const beats = (this.context.currentTime - this.now.start) / this.now.beat;
    return beats >= 0 && beats <= data.beatsPerUnit ? beats * data.ticksPerBeat : undefined;
  }

  get ended() {
    return this.now !== null && this.context.currentTime > this.now.end;
  }

  #open() {
    const context = new AudioContext();
    const parts = new Float32Array(PARTIALS);
    this.wave = context.createPeriodicWave(new Float32Array(parts.length), parts);
    const level = context.createDynamicsCompressor(); // a chord must not be too loud
    level.connect(context.destination);
    this.master = level;
    return context;
  }

  // One string: a quick attack, a decay that is longer for low notes; overtones fade first.
  #strike(out, pitch, at) {
    const { context } = this;
    const frequency = 440 * 2 ** ((pitch - 69) / 12);
    const ring = 0.7 + 2 * (1 - (pitch - data.lowestPitch) / data.pitches);
    const string = context.createOscillator();
    string.setPeriodicWave(this.wave);
    string.frequency.value = frequency;
    const felt = context.createBiquadFilter();
    felt.type = "lowpass";
    felt.frequency.setValueAtTime(Math.min(frequency * 9, 12000), at);
    felt.frequency.exponentialRampToValueAtTime(frequency * 1.6, at + ring * 0.7);
    const loudness = context.createGain();
    loudness.gain.setValueAtTime(0, at);
    loudness.gain.linearRampToValueAtTime(0.2, at + 0.005);
    loudness.gain.exponentialRampToValueAtTime(0.0005, at + ring);
    string.connect(felt).connect(loudness).connect(out);
    string.start(at);
    string.stop(at + ring);
  }
}

const player = new Player();
