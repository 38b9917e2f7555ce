// Reads an audit log from its folder with Sigstore's verifier of transparency logs: its checkpoint,
// and the proof of each entry. The hashes of a proof are taken from the tiles.
//   node read_log.js FOLDER NAME+ID+KEY        (NODE_PATH names where the verifier lies)
const { createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { crypto } = require("@sigstore/core");
const { verifyCheckpoint } = require("@sigstore/verify/dist/tlog/checkpoint");
const { verifyMerkleInclusion } = require("@sigstore/verify/dist/tlog/merkle");

const [folder, vkey] = process.argv.slice(2);
const [name, id, ...rest] = vkey.split("+");
const raw = Buffer.from(rest.join("+"), "base64").subarray(1); // the first byte is the algorithm
const jwk = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") };
const log = {
  logID: Buffer.from(id, "hex"),
  baseURL: name,
  publicKey: createPublicKey({ key: jwk, format: "jwk" }),
};

const envelope = readFileSync(join(folder, "checkpoint"), "utf-8");
const checkpoint = verifyCheckpoint({ inclusionProof: { checkpoint: { envelope } } }, [log]);
const size = Number(checkpoint.logSize);

// All of one level: whole tiles, and one that is not; a log of these tests has at most 256,000 entries.
function tiles(level, count) {
  const found = [];
  for (let at = 0; at < count; at += 256) {
    const width = Math.min(256, count - at);
    const index = String(at / 256).padStart(3, "0");
    found.push(readFileSync(join(folder, "tile", level, index + (width < 256 ? `.p/${width}` : ""))));
  }
  return found;
}

const hashes = tiles("0", size).flatMap((tile) =>
  Array.from({ length: tile.length / 32 }, (_, at) => tile.subarray(32 * at, 32 * at + 32)),
);
const entries = tiles("entries", size).flatMap((bundle) => {
  const found = [];
  for (let at = 0; at < bundle.length; at += 2 + bundle.readUInt16BE(at)) {
    found.push(bundle.subarray(at + 2, at + 2 + bundle.readUInt16BE(at)));
  }
  return found;
});

// Root and proofs as RFC 6962, 2.1.1 has them; each root over a range is made once.
const roots = new Map();
const split = (count) => 2 ** Math.floor(Math.log2(count - 1));
function root(begin, end) {
  if (end - begin === 1) return hashes[begin];
  const key = `${begin}-${end}`;
  if (!roots.has(key)) {
    const middle = begin + split(end - begin);
    const pair = Buffer.concat([Buffer.from([1]), root(begin, middle), root(middle, end)]);
    roots.set(key, crypto.digest("sha256", pair));
  }
  return roots.get(key);
}
function proof(index, begin, end) {
  if (end - begin === 1) return [];
  const middle = begin + split(end - begin);
  return index < middle
    ? [...proof(index, begin, middle), root(middle, end)]
    : [...proof(index, middle, end), root(begin, middle)];
}

if (entries.length !== size) throw new Error(`there are ${entries.length} entries, not ${size}`);
for (const [index, canonicalizedBody] of entries.entries()) {
  const inclusionProof = { logIndex: String(index), hashes: proof(index, 0, size) };
  try {
    verifyMerkleInclusion({ canonicalizedBody, inclusionProof }, checkpoint);
  } catch (error) {
    throw new Error(`entry ${index}: ${error.message}`);
  }
}
console.log(`${checkpoint.origin} ${size}`);
