// Reads what a phone shows by itself (wallet.js), and the lists of what is turned off. It verifies
// both with the issuer's keys, and asks nobody. What it takes and what it refuses is the same as in
// app/credentials; a test holds the two together.
"use strict";

const credentials = (() => {
  const PREFIX = "YK1:";
  const TEXT_LENGTH_MAX = 419; // a QR of version 12 with level M takes no more
  const LABEL = "yuekang proof";
  const LIST_TYPE = "application/statuslist+cwt";
  const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
  const COLOURS = ["red", "green"];
  const DEPTH_MAX = 8;
  const EDDSA = -8;
  const [ALG, KID, TYP] = [1, 4, 16]; // headers of COSE
  const [SUB, EXP, IAT, CNF, STATUS_LIST, STATUS, SHOWN] = [2, 4, 6, 8, 65533, 65535, -65537];

  class Forged extends Error {}

  const must = (holds) => {
    if (!holds) throw new Forged();
  };
  const utf8 = (text) => new TextEncoder().encode(text);
  const isBytes = (value, size) => value instanceof Uint8Array && (size ?? value.length) === value.length;
  const hasKeys = (map, ...keys) => {
    must(map instanceof Map && map.size === keys.length && keys.every((key) => map.has(key)));
    return keys.map((key) => map.get(key));
  };

  // RFC 9285: three characters are two bytes, two are one.
  function fromBase45(text) {
    const bytes = [];
    for (let at = 0; at < text.length; at += 3) {
      const digits = [...text.slice(at, at + 3)].map((character) => ALPHABET.indexOf(character));
      const number = digits.reduceRight((sum, digit) => 45 * sum + digit, 0);
      const size = digits.length - 1;
      must(size && !digits.includes(-1) && number < 256 ** size);
      if (size === 2) bytes.push(number >> 8);
      bytes.push(number & 255);
    }
    return Uint8Array.from(bytes);
  }

  function toBase45(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; at += 2) {
      const pair = bytes.subarray(at, at + 2);
      let number = pair.length === 2 ? 256 * pair[0] + pair[1] : pair[0];
      for (let digit = 0; digit <= pair.length; digit += 1) {
        text += ALPHABET[number % 45];
        number = Math.floor(number / 45);
      }
    }
    return text;
  }

  // CBOR (RFC 8949) in its deterministic form, as far as we need it. A map becomes a Map, a tag
  // { tag, value }.
  function unpack(bytes) {
    let at = 0;
    const take = (count) => {
      must(at + count <= bytes.length);
      at += count;
      return bytes.subarray(at - count, at);
    };

    function argument(short) {
      if (short < 24) return short;
      must(short < 28);
      const size = 1 << (short - 24);
      const number = take(size).reduce((sum, byte) => 256 * sum + byte, 0);
      must(Number.isSafeInteger(number) && number >= (size === 1 ? 24 : 256 ** (size / 2)));
      return number;
    }

    const text = (raw) => {
      try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
      } catch {
        throw new Forged();
      }
    };

    function map(count, depth) {
      const found = new Map();
      let before = null;
      for (let n = 0; n < count; n += 1) {
        const from = at;
        const key = item(depth);
        const raw = Array.from(bytes.subarray(from, at), (byte) => String.fromCharCode(byte)).join("");
        // Shorter keys first, then by their bytes: the same order for ours as RFC 8949 has it.
        const order = String.fromCharCode(raw.length) + raw;
        must(before === null || before < order);
        before = order;
        found.set(key, item(depth));
      }
      return found;
    }

    function item(depth) {
      must(depth < DEPTH_MAX);
      const [head] = take(1);
      const major = head >> 5;
      if (major === 7) {
        must(head === 0xf4 || head === 0xf5);
        return head === 0xf5;
      }
      const number = argument(head & 31);
      if (major === 0) return number;
      if (major === 1) return -1 - number;
      if (major === 2) return take(number);
      if (major === 3) return text(take(number));
      if (major === 4) return Array.from({ length: checked(number) }, () => item(depth + 1));
      if (major === 5) return map(checked(number), depth + 1);
      return { tag: number, value: item(depth + 1) };
    }

    const checked = (count) => {
      must(count <= bytes.length);
      return count;
    };

    const value = item(0);
    must(at === bytes.length);
    return value;
  }

  function head(major, number) {
    for (const [size, short] of [[1, 24], [2, 25], [4, 26], [8, 27]]) {
      if (number < 24) return [(major << 5) | number];
      if (number < 256 ** size) {
        const bytes = Array.from({ length: size }, (_, n) => Math.floor(number / 256 ** (size - 1 - n)) % 256);
        return [(major << 5) | short, ...bytes];
      }
    }
    throw new RangeError("too large a number");
  }
  const packedBytes = (bytes) => [...head(2, bytes.length), ...bytes];
  const packedText = (text) => [...head(3, utf8(text).length), ...utf8(text)];

  // A point of P-256 from its x and from whether its y is odd (SEC 1, 2.3.4): browsers want both.
  const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
  const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
  function power(base, exponent) {
    let result = 1n;
    for (let left = exponent, square = base; left; left >>= 1n) {
      if (left & 1n) result = (result * square) % P;
      square = (square * square) % P;
    }
    return result;
  }
  function point(x, odd) {
    const number = BigInt(`0x${hex(x)}`);
    must(number < P);
    const right = (((number * number - 3n) * number + B) % P + P) % P;
    const root = power(right, (P + 1n) / 4n);
    must((root * root) % P === right);
    const y = (root & 1n) === (odd ? 1n : 0n) ? root : P - root;
    const bytes = y.toString(16).padStart(64, "0").match(/../g).map((pair) => parseInt(pair, 16));
    return Uint8Array.from([4, ...x, ...bytes]);
  }

  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const fromBase64 = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

  // The parts of a COSE_Sign1 (RFC 9052), whoever signed it.
  function partsOf(raw) {
    const { tag, value } = unpack(raw);
    must(tag === 18 && Array.isArray(value) && value.length === 4);
    const [protectedBytes, open, payload, signature] = value;
    must(isBytes(protectedBytes) && open instanceof Map && open.size === 0);
    must(isBytes(payload) && isBytes(signature, 64));
    return { protectedBytes, payload, signature };
  }

  // The claims and the headers of a COSE_Sign1 that one of `keys` signed, each a JWK.
  async function verified(raw, keys) {
    const { protectedBytes, payload, signature } = partsOf(raw);
    const headers = unpack(protectedBytes);
    must(headers instanceof Map && headers.get(ALG) === EDDSA && isBytes(headers.get(KID)));
    const kid = hex(headers.get(KID));
    const jwk = keys.find((key) => hex(fromBase64(key.kid)) === kid);
    if (!jwk) throw new UnknownKey();
    const key = await crypto.subtle.importKey("raw", fromBase64(jwk.x), "Ed25519", false, ["verify"]);
    const signed = Uint8Array.from([
      ...head(4, 4),
      ...packedText("Signature1"),
      ...packedBytes(protectedBytes),
      ...packedBytes([]),
      ...packedBytes(payload),
    ]);
    must(await crypto.subtle.verify("Ed25519", key, signature, signed));
    return { headers, claims: unpack(payload) };
  }

  class UnknownKey extends Forged {}

  // Where the status of a credential stands.
  function placeOf(claims) {
    const [place] = hasKeys(claims.get(STATUS), "status_list");
    const [index, uri] = hasKeys(place, "idx", "uri");
    must(Number.isInteger(index) && index >= 0 && /^s\/[0-9a-f]{6}$/.test(uri));
    return { index, uri };
  }

  // Returns a function that says of a place whether it is turned off.
  async function bitsOf(claims) {
    const [size, packed] = hasKeys(claims.get(STATUS_LIST), "bits", "lst");
    must(size === 1 && isBytes(packed));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bits = new Uint8Array(await new Response(stream).arrayBuffer());
    // What is not in the list is not on it.
    return (index) => index >= 8 * bits.length || ((bits[index >> 3] >> (index & 7)) & 1) === 1;
  }

  async function claimsOf(raw, keys) {
    const { headers, claims } = await verified(raw, keys);
    hasKeys(headers, ALG, KID);
    const [until, confirmation, , shown] = hasKeys(claims, EXP, CNF, STATUS, SHOWN);
    const [cose] = hasKeys(confirmation, 1);
    const [kind, curve, x, odd] = hasKeys(cose, 1, -1, -2, -3);
    must(kind === 2 && curve === 1 && isBytes(x, 32) && typeof odd === "boolean");
    const { index, uri } = placeOf(claims);
    must(Array.isArray(shown) && shown.length === 3 && Number.isInteger(until));
    const [colour, name, ending] = shown;
    must(typeof name === "string" && typeof ending === "string" && COLOURS[colour]);
    return { until, key: point(x, odd), index, uri, colour: COLOURS[colour], name, ending };
  }

  // What a phone signs: that it shows a credential at a second.
  async function message(credential, second) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", credential));
    const seconds = new DataView(new ArrayBuffer(8));
    seconds.setBigUint64(0, BigInt(second));
    return Uint8Array.from([...utf8(LABEL), ...digest, ...new Uint8Array(seconds.buffer)]);
  }

  return {
    // What was fetched from us over TLS is believed as this script is, in browsers too that cannot
    // verify: the place { index, uri } of a credential; the bits of a list.
    place: (raw) => placeOf(unpack(partsOf(raw).payload)),
    bits: (raw, uri) => {
      const claims = unpack(partsOf(raw).payload);
      must(claims.get(SUB) === uri);
      return bitsOf(claims);
    },

    Forged,
    UnknownKey,
    isOurs: (text) => text.startsWith(PREFIX),

    // What the QR holds: `sign` gives the phone's signature of bytes.
    async shown(credential, second, sign) {
      const signature = await sign(await message(credential, second));
      const array = [...head(4, 3), ...packedBytes(credential), ...head(0, second), ...packedBytes(signature)];
      return PREFIX + toBase45(Uint8Array.from(array));
    },

    // { until, second, index, uri, colour, name, ending, id } of a text whose two signatures are
    // good, however old it is; `id` tells the credential from others. Throws `Forged`.
    async read(text, keys) {
      must(text.length <= TEXT_LENGTH_MAX && text.startsWith(PREFIX));
      const value = unpack(fromBase45(text.slice(PREFIX.length)));
      must(Array.isArray(value) && value.length === 3);
      const [credential, second, signature] = value;
      must(isBytes(credential) && Number.isInteger(second) && second >= 0 && isBytes(signature, 64));
      const { key, ...claims } = await claimsOf(credential, keys);
      const kind = { name: "ECDSA", namedCurve: "P-256" };
      const phone = await crypto.subtle.importKey("raw", key, kind, false, ["verify"]);
      const signed = await message(credential, second);
      must(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, phone, signature, signed));
      const id = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", credential)));
      return { ...claims, second, id };
    },

    // { uri, asOf, until, isOff(index) } of a status list (draft-ietf-oauth-status-list-20), in
    // seconds since 1970. Throws `Forged`.
    async readList(raw, keys) {
      const { headers, claims } = await verified(raw, keys);
      must(headers.size === 3 && headers.get(TYP) === LIST_TYPE);
      must(claims instanceof Map && Number.isInteger(claims.get(IAT)) && Number.isInteger(claims.get(EXP)));
      const isOff = await bitsOf(claims);
      return { uri: claims.get(SUB), asOf: claims.get(IAT), until: claims.get(EXP), isOff };
    },
  };
})();
