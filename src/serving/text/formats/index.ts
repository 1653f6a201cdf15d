export { detectOutputFormat } from './detect.js';
export { isReasoningOpen } from './reasoning.js';
export { templateKnowsTools } from './template-source.js';
export { withoutSystemMessage, withToolsAsText } from './tool-messages.js';
