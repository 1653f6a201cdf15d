import type { PackedVocabulary } from './vocabulary.js';

/**
 * First bytes of characters whose second byte has fewer values than others': with others it would be a longer form of a
 * shorter character, half a surrogate pair, or beyond Unicode. XGrammar lets them pass.
 */
const NARROW: Readonly<Record<number, readonly [lowest: number, highest: number]>> = {
  224: [0xa0, 0xbf],
  237: [0x80, 0x9f],
  240: [0x90, 0xbf],
  244: [0x80, 0x8f],
};

/** Whether bytes may be part of UTF-8, for all that can be seen of them. */
export function mayBeUtf8(bytes: Uint8Array): boolean {
  return bytes.every((byte, i) => {
    if (byte === 0xc0 || byte === 0xc1 || byte > 0xf4) return false;
    const narrow = i === 0 ? undefined : NARROW[bytes[i - 1]!];
    return narrow === undefined || (byte >= narrow[0] && byte <= narrow[1]);
  });
}

/** For each byte after which not every continuation is UTF-8: a bit for each token that begins with one that is. */
export function continuationMasks({ bytes, ends }: PackedVocabulary): ReadonlyMap<number, Int32Array> {
  const masks = new Map<number, Int32Array>();
  for (const [byte, [lowest, highest]] of Object.entries(NARROW)) {
    const mask = new Int32Array(Math.ceil(ends.length / 32));
    for (let token = 0; token < ends.length; token++) {
      const first = bytes[token === 0 ? 0 : ends[token - 1]!]!;
      if (first >= lowest && first <= highest) mask[token >> 5]! |= 1 << (token & 31);
    }
    masks.set(Number(byte), mask);
  }
  return masks;
}
