export { AttentionError } from './attention-error.js';
export { buildKernel, type KernelBuild, KernelBuildError } from './build-kernel.js';
export {
  PAGE_TOKENS,
  type PageShape,
  type PageType,
  pageBytes,
  type SlidingWindow,
  supportsHeadSize,
} from './page-shape.js';
export {
  AttentionLanes,
  type KernelLevel,
  PAGE_TYPES,
  PagedAttention,
  type PagedAttentionOptions,
  StepAttention,
} from './paged-attention.js';
export { type AttentionSurvey, type LayerFacts, openSurvey, type SurveyOptions } from './survey.js';
