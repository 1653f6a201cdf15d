export { detectOutputFormat } from './detect.js';
export { templateKnowsTools } from './template-source.js';
export { withoutSystemMessage, withToolsAsText } from './tool-messages.js';
