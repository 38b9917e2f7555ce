// Draws a display token as a QR (ISO/IEC 18004). It always has version 6, level M, mask 4 and byte
// mode, as in app/view/displays.py. So it needs no table, and a phone draws it in a millisecond.
// `qrPath(text)` returns the dark modules as the path of an SVG of 41 by 41.
"use strict";

const qrPath = (() => {
  const SIZE = 41;
  const BLOCKS = 4, DATA = 27, CHECK = 16; // codewords of a block
  const FORMAT = 0b100010111111001; // level M, mask 4, with its check bits

  // GF(256) of x^8 + x^4 + x^3 + x^2 + 1.
  const exp = [], log = [];
  for (let n = 0, x = 1; n < 255; n += 1) {
    exp[n] = x;
    log[x] = n;
    x = (x << 1) ^ (x & 128 ? 285 : 0);
  }
  const times = (a, b) => (a && b ? exp[(log[a] + log[b]) % 255] : 0);

  let generator = [1];
  for (let n = 0; n < CHECK; n += 1) {
    generator = [...generator, 0].map((c, at) => c ^ times(generator[at - 1] ?? 0, exp[n]));
  }

  function checks(data) {
    const rest = [...data, ...Array(CHECK).fill(0)];
    for (let at = 0; at < data.length; at += 1) {
      const factor = rest[at];
      generator.forEach((c, n) => (rest[at + n] ^= times(c, factor)));
    }
    return rest.slice(data.length);
  }

  // Mode 4, eight bits of length, the bytes, four bits of end; then filled up.
  function codewords(text) {
    const bytes = new TextEncoder().encode(text);
    const total = BLOCKS * DATA;
    if (bytes.length > total - 2) throw new RangeError("too long for this QR");
    const halves = [4, bytes.length >> 4, bytes.length & 15];
    bytes.forEach((byte) => halves.push(byte >> 4, byte & 15));
    halves.push(0);
    const words = [];
    for (let at = 0; at < halves.length; at += 2) words.push((halves[at] << 4) | halves[at + 1]);
    for (let fill = 236; words.length < total; fill ^= 236 ^ 17) words.push(fill);
    const blocks = [];
    for (let at = 0; at < total; at += DATA) blocks.push(words.slice(at, at + DATA));
    const across = (parts) => parts[0].flatMap((_, at) => parts.map((part) => part[at]));
    return [...across(blocks), ...across(blocks.map(checks))];
  }

  // The modules that are the same in every such QR; data go where they are undefined.
  function frame() {
    const grid = Array.from({ length: SIZE }, () => Array(SIZE));
    const square = (top, left, rings) => {
      const reach = rings.length - 1;
      for (let r = -reach; r <= reach; r += 1) {
        for (let c = -reach; c <= reach; c += 1) {
          const row = grid[top + r];
          if (row && left + c >= 0 && left + c < SIZE) {
            row[left + c] = rings[Math.max(Math.abs(r), Math.abs(c))];
          }
        }
      }
    };
    for (let at = 0; at < SIZE; at += 1) grid[6][at] = grid[at][6] = (at + 1) % 2;
    for (const [top, left] of [[3, 3], [3, SIZE - 4], [SIZE - 4, 3]]) square(top, left, [1, 1, 0, 1, 0]);
    square(34, 34, [1, 0, 1]);
    for (let bit = 0; bit < 15; bit += 1) {
      const dark = (FORMAT >> bit) & 1;
      const along = bit < 6 ? bit : bit < 8 ? bit + 1 : bit === 8 ? 7 : 14 - bit;
      if (bit < 8) {
        grid[along][8] = dark;
        grid[8][SIZE - 1 - bit] = dark;
      } else {
        grid[8][along] = dark;
        grid[SIZE - 15 + bit][8] = dark;
      }
    }
    grid[SIZE - 8][8] = 1;
    return grid;
  }

  function place(grid, words) {
    let bit = 0;
    for (let right = SIZE - 1, up = true; right > 0; right -= 2, up = !up) {
      if (right === 6) right = 5; // the column of the timing pattern
      for (let step = 0; step < SIZE; step += 1) {
        const row = up ? SIZE - 1 - step : step;
        for (const column of [right, right - 1]) {
          if (grid[row][column] !== undefined) continue;
          const dark = (words[bit >> 3] >> (7 - (bit & 7))) & 1; // beyond the last: light
          const masked = ((row >> 1) + Math.floor(column / 3)) % 2 === 0;
          grid[row][column] = dark ^ masked;
          bit += 1;
        }
      }
    }
    return grid;
  }

  return (text) => {
    const path = [];
    place(frame(), codewords(text)).forEach((row, y) => {
      for (let x = 0; x < SIZE; x += 1) {
        if (!row[x]) continue;
        const from = x;
        while (row[x + 1]) x += 1;
        path.push(`M${from} ${y}h${x - from + 1}v1h-${x - from + 1}z`);
      }
    });
    return path.join("");
  };
})();
