import fc from 'fast-check';

/** A request of a random load, and when its client comes and goes, in steps. */
export interface RandomClient {
  prompt: Int32Array;
  maxTokens: number;
  n: number;
  priority: number;
  tenant: string;
  cacheSalt: string;
  arrivesAt: number;
  /** Steps after arrival, or never. */
  abortsAfter: number | undefined;
}

/** Prompts out of few families, so that prefixes are shared, split in the middle of blocks, and repeated whole. */
export const randomClient: fc.Arbitrary<RandomClient> = fc
  .record({
    family: fc.nat(2),
    shared: fc.nat(40),
    own: fc.array(fc.nat(3), { maxLength: 12 }),
    maxTokens: fc.integer({ min: 1, max: 24 }),
    n: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: 4 }) }),
    priority: fc.integer({ min: -1, max: 1 }),
    tenant: fc.constantFrom('', '', 'a', 'b'),
    cacheSalt: fc.constantFrom('', '', 'tenant'),
    arrivesAt: fc.nat(40),
    abortsAfter: fc.option(fc.nat(30), { nil: undefined, freq: 5 }),
  })
  .map(({ family, shared, own, ...rest }) => ({
    ...rest,
    prompt: Int32Array.from([family, ...Array.from({ length: shared }, (_, i) => (i * family + i) % 7), ...own]),
  }));
