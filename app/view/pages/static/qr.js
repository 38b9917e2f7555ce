// Draws a text as a QR (ISO/IEC 18004), in a version that is in the table below. Level M and mask 4
// are fixed, as in app/view/displays.py: so a phone draws it in a millisecond or two.
// `qrPath(text, version)` returns the dark modules as the path of an SVG that has `qrSize(version)`
// modules on each side. A text of digits, capitals and " $%*+-./:" alone takes 5.5 bits a character,
// any other 8 bits a byte. It throws a RangeError if the text does not fit.
"use strict";

const qrSize = (version) => 17 + 4 * version;

const qrPath = (() => {
  // The data codewords of each block, the check codewords of each, where alignment patterns have
  // their centres, and from version 7 on the version itself with its check bits.
  const VERSIONS = {
    6: { blocks: [27, 27, 27, 27], check: 16, centres: [6, 34] },
    8: { blocks: [38, 38, 39, 39], check: 22, centres: [6, 24, 42], told: 0b001000010110111100 },
    12: {
      blocks: [36, 36, 36, 36, 36, 36, 37, 37],
      check: 22,
      centres: [6, 32, 58],
      told: 0b001100011101100010,
    },
  };
  const FORMAT = 0b100010111111001; // level M, mask 4, with its check bits
  const ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

  // GF(256) of x^8 + x^4 + x^3 + x^2 + 1.
  const exp = [], log = [];
  for (let n = 0, x = 1; n < 255; n += 1) {
    exp[n] = x;
    log[x] = n;
    x = (x << 1) ^ (x & 128 ? 285 : 0);
  }
  const times = (a, b) => (a && b ? exp[(log[a] + log[b]) % 255] : 0);

  function generatorOf(count) {
    let generator = [1];
    for (let n = 0; n < count; n += 1) {
      generator = [...generator, 0].map((c, at) => c ^ times(generator[at - 1] ?? 0, exp[n]));
    }
    return generator;
  }

  function checks(data, generator) {
    const rest = [...data, ...Array(generator.length - 1).fill(0)];
    for (let at = 0; at < data.length; at += 1) {
      const factor = rest[at];
      generator.forEach((c, n) => (rest[at + n] ^= times(c, factor)));
    }
    return rest.slice(data.length);
  }

  // The mode, the length, the text. From version 10 on the length has more bits.
  function bitsOf(text, version) {
    const bits = [];
    const push = (value, width) => {
      for (let bit = width - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1);
    };
    const values = [...text].map((character) => ALPHANUMERIC.indexOf(character));
    if (values.includes(-1)) {
      const bytes = new TextEncoder().encode(text);
      push(4, 4);
      push(bytes.length, version < 10 ? 8 : 16);
      bytes.forEach((byte) => push(byte, 8));
    } else {
      push(2, 4);
      push(values.length, version < 10 ? 9 : 11);
      for (let at = 0; at + 1 < values.length; at += 2) push(45 * values[at] + values[at + 1], 11);
      if (values.length % 2) push(values.at(-1), 6);
    }
    return bits;
  }

  // Up to four bits of end, and up to seven to the end of their byte; then filled up.
  function codewords(text, version) {
    const { blocks, check } = VERSIONS[version];
    const total = blocks.reduce((sum, count) => sum + count);
    const bits = bitsOf(text, version);
    if (bits.length > 8 * total) throw new RangeError("too long for this QR");
    const end = Math.min(bits.length + 4, 8 * total);
    const words = Array(Math.ceil(end / 8)).fill(0);
    bits.forEach((bit, at) => (words[at >> 3] |= bit << (7 - (at & 7))));
    for (let fill = 236; words.length < total; fill ^= 236 ^ 17) words.push(fill);

    let from = 0;
    const parts = blocks.map((count) => words.slice(from, (from += count)));
    // The last block is the longest: the others have nothing where it ends.
    const across = (rows) => rows.at(-1).flatMap((_, at) => rows.flatMap((row) => row[at] ?? []));
    const generator = generatorOf(check);
    return [...across(parts), ...across(parts.map((part) => checks(part, generator)))];
  }

  // The modules that are the same in every QR of a version; data go where they are undefined.
  function frame(version) {
    const { centres, told } = VERSIONS[version];
    const size = qrSize(version);
    const grid = Array.from({ length: size }, () => Array(size));
    const square = (top, left, rings) => {
      const reach = rings.length - 1;
      for (let r = -reach; r <= reach; r += 1) {
        for (let c = -reach; c <= reach; c += 1) {
          const row = grid[top + r];
          if (row && left + c >= 0 && left + c < size) {
            row[left + c] = rings[Math.max(Math.abs(r), Math.abs(c))];
          }
        }
      }
    };
    for (let at = 0; at < size; at += 1) grid[6][at] = grid[at][6] = (at + 1) % 2;
    for (const [top, left] of [[3, 3], [3, size - 4], [size - 4, 3]]) square(top, left, [1, 1, 0, 1, 0]);
    for (const top of centres) {
      for (const left of centres) {
        // The three corners with a finder pattern have none.
        const corner = [6, centres.at(-1)].includes(Math.max(top, left));
        if (Math.min(top, left) > 6 || !corner) square(top, left, [1, 0, 1]);
      }
    }
    for (let bit = 0; bit < 15; bit += 1) {
      const dark = (FORMAT >> bit) & 1;
      const along = bit < 6 ? bit : bit < 8 ? bit + 1 : bit === 8 ? 7 : 14 - bit;
      if (bit < 8) {
        grid[along][8] = dark;
        grid[8][size - 1 - bit] = dark;
      } else {
        grid[8][along] = dark;
        grid[size - 15 + bit][8] = dark;
      }
    }
    grid[size - 8][8] = 1;
    for (let bit = 0; told && bit < 18; bit += 1) {
      const [short, long] = [Math.floor(bit / 3), size - 11 + (bit % 3)];
      grid[short][long] = grid[long][short] = (told >> bit) & 1;
    }
    return grid;
  }

  function place(grid, words) {
    const size = grid.length;
    let bit = 0;
    for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
      if (right === 6) right = 5; // the column of the timing pattern
      for (let step = 0; step < size; step += 1) {
        const row = up ? size - 1 - step : step;
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

  return (text, version) => {
    const path = [];
    place(frame(version), codewords(text, version)).forEach((row, y) => {
      for (let x = 0; x < row.length; x += 1) {
        if (!row[x]) continue;
        const from = x;
        while (row[x + 1]) x += 1;
        path.push(`M${from} ${y}h${x - from + 1}v1h-${x - from + 1}z`);
      }
    });
    return path.join("");
  };
})();

// Draws a text within an element, with four modules of quiet around it.
function qrDraw(place, text, version) {
  const side = qrSize(version) + 8;
  const qr = new DOMParser().parseFromString(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -4 ${side} ${side}" shape-rendering="crispEdges">
    <path d="${qrPath(text, version)}"/></svg>`,
    "image/svg+xml",
  );
  place.replaceChildren(document.adoptNode(qr.documentElement));
}
