export { loadNativeSelection } from './native-selection.js';
export { portableSelection } from './portable-selection.js';
export type { TokenSelection } from './token-selection.js';
