import type { StructuralTagFormat } from '@mlc-ai/web-xgrammar';

/** The parts that structural tags are made of, as XGrammar defines them. */
export type { StructuralTagFormat, TagFormat } from '@mlc-ai/web-xgrammar';

/** Stands in a tag for a form that is made apart from it: a grammar without text. */
export const FORM_SLOT: StructuralTagFormat & { type: 'grammar' } = { type: 'grammar', grammar: '' };
