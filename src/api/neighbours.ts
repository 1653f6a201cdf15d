import { anthropic } from './anthropic/index.js';
import type { ApiContext } from './context.js';
import { llamaServer } from './llama-server/index.js';
import { ollama } from './ollama/index.js';
import { openInference } from './open-inference/index.js';
import type { Protocol } from './protocol.js';
import { sagemaker } from './sagemaker/index.js';
import { tgi } from './tgi/index.js';
import { vertex } from './vertex/index.js';

/** Every protocol besides OpenAI's. */
export function neighbours(context: ApiContext): Protocol[] {
  return [
    anthropic(context),
    ollama(context),
    llamaServer(context),
    tgi(context),
    openInference(context),
    sagemaker(context),
    vertex(context, process.env),
  ];
}
