import type { EmbeddingRequest, GenerationRequest, Serving } from '../serving/index.js';
import type { Logger } from '../telemetry/index.js';
import { mapRequests } from './map-requests.js';

/** A serving that logs what it is asked: one line at level info for each request, with its prompts. */
export function logRequests(serving: Serving, logger: Logger): Serving {
  return mapRequests(serving, (request) => {
    logger.info({ requestId: request.id, model: request.model, ...askedOf(request) }, 'received a request');
    return request;
  });
}

function askedOf(request: GenerationRequest | EmbeddingRequest): object {
  if ('prompts' in request) return { prompts: request.prompts };
  const { prompt, sampling, n, stop } = request;
  return { prompt, sampling, n, stop };
}
