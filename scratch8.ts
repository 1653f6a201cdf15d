import fc from 'fast-check';
import { jsonSchemaToEbnf } from './src/grammar/json-schema.js';
import { walk } from './test/support/grammar-walk.js';
import { randomSchema } from './test/support/random-schema.js';
let r = 8; const next = () => { r = (Math.imul(r, 1664525) + 1013904223) >>> 0; return r / 2 ** 32; };
let t = performance.now();
const S = fc.sample(randomSchema(), { numRuns: 500, seed: 8 });
console.log('sample', performance.now() - t);
let i=0; const T0=performance.now(); for (const schema of S) { if (process.env.P) console.log("at", i, JSON.stringify(schema)); i++; if (process.argv[2] && i < +process.argv[2]) continue;
  t = performance.now();
  let e = '';
  try { e = jsonSchemaToEbnf(schema, { strict: true }); } catch (x) { console.log('CONV', (x as Error).message, (x as any).path, JSON.stringify(schema).slice(0, 300)); continue; }
  const a = performance.now() - t; t = performance.now();
  let out: any; try { out = await walk(e, next); } catch (x) { out = 'ERR ' + x + e; }
  const b = performance.now()-t; if (b > 300 || out === undefined || String(out).startsWith("ERR")) console.log(i, a.toFixed(0), e.length, b.toFixed(0), out === undefined ? "UNF" : String(out).slice(0,300), JSON.stringify(schema).slice(0,400)); if (i % 100 === 0) console.log(i, performance.now()-T0);
}
