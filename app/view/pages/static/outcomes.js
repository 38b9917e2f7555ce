// What a guard hears and feels: another sound and another vibration for each outcome, so that nobody
// has to look. The words and the shape of each stand in a template of the page, outcome-<name>.
// Notes are [hertz, milliseconds], zero hertz is silence; buzzes are milliseconds on and off.
"use strict";

const OUTCOMES = {
  green: { notes: [[880, 110], [1320, 190]], buzz: [80] },
  red: { notes: [[220, 260], [0, 70], [220, 260], [0, 70], [220, 400]], buzz: [400, 120, 400, 120, 400] },
  expired: { notes: [[660, 160], [440, 240]], buzz: [120, 80, 120] },
  forged: { notes: [[950, 90], [620, 90], [950, 90], [620, 90], [950, 90], [620, 90]], buzz: [700] },
  "clock-wrong": { notes: [[523, 90], [0, 160], [523, 90], [0, 160], [523, 90]], buzz: [60, 160, 60, 160, 60] },
  unknown: { notes: [[392, 420]], buzz: [300] },
  stale: { notes: [[523, 160], [392, 160], [294, 260]], buzz: [100, 60, 100, 60, 100] },
  unreachable: { notes: [[330, 90], [0, 90], [330, 90]], buzz: [60, 60, 60] },
};

const sounds = (() => {
  const VOLUME = 0.25;
  const EDGE_S = 0.008; // a note that begins at once clicks
  let context = null;

  // A browser lets a page sound after somebody touched it.
  function allow() {
    context ??= globalThis.AudioContext ? new AudioContext() : null;
    context?.resume?.();
  }

  function play(outcome) {
    const { notes, buzz } = OUTCOMES[outcome];
    navigator.vibrate?.(buzz);
    let at = context?.currentTime ?? 0;
    for (const [hertz, ms] of notes) {
      const until = at + ms / 1000;
      if (hertz && context) note(hertz, at, until);
      at = until;
    }
  }

  function note(hertz, from, until) {
    const tone = new OscillatorNode(context, { type: "square", frequency: hertz });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(VOLUME, from + EDGE_S);
    gain.gain.setValueAtTime(VOLUME, until - EDGE_S);
    gain.gain.linearRampToValueAtTime(0, until);
    tone.connect(gain).connect(context.destination);
    tone.start(from);
    tone.stop(until);
  }

  return { allow, play };
})();
