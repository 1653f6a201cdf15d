export type { BlockTable } from './block-table.js';
export { type BlockCopy, KVCache, type KVCacheOptions } from './kv-cache.js';
