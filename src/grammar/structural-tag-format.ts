/** The parts that structural tags are made of, as XGrammar defines them. */
export type { StructuralTagFormat, TagFormat } from '@mlc-ai/web-xgrammar';
