export type { BlockJournal, JournalEntry } from './block-journal.js';
export type { BlockTable } from './block-table.js';
export { type BlockCopy, KVCache, type KVCacheOptions } from './kv-cache.js';
