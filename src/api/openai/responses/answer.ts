import type { GenerationDelta } from '../../../serving/index.js';
import type { ChoiceEnd, Submission } from '../submission.js';
import { createResponseOutput, type ResponseEvent } from './output.js';
import { endedState, failedState, IN_PROGRESS, type ResponseState } from './response-object.js';
import type { WireResponse } from './response-schema.js';

/** A response while it comes into being; the same whether it is streamed or given whole. */
export interface Answer {
  /** The response before anything has come. */
  begin(): WireResponse;
  /** Takes what comes; returns the events that tell a client of it. */
  take(event: GenerationDelta | ChoiceEnd): ResponseEvent[];
  /** To be called after the last event; returns the response as it stays. */
  end(): WireResponse;
  /** To be called instead when it cannot be ended. */
  fail(message: string): WireResponse;
}

/**
 * @param write Makes the response of its state and its output.
 * @param keep Called with the response as it stays.
 */
export function createAnswer(
  submission: Pick<Submission, 'usage'>,
  write: (state: ResponseState, output: WireResponse['output']) => WireResponse,
  withLogprobs: boolean,
  keep: (response: WireResponse) => void,
): Answer {
  const output = createResponseOutput(withLogprobs);
  let isComplete = true;

  function settle(state: ResponseState): WireResponse {
    const response = write(state, [...output.items]);
    keep(response);
    return response;
  }

  return {
    begin: () => write(IN_PROGRESS, []),
    take(event) {
      if (event.type === 'delta') return output.push(event);
      isComplete = event.reason !== 'length';
      return output.finish(isComplete);
    },
    end: () => settle(endedState(isComplete, submission.usage())),
    fail(message) {
      output.finish(false);
      return settle(failedState(message));
    },
  };
}

/** Waits for the whole answer. */
export async function collectResponse(submission: Submission, answer: Answer): Promise<WireResponse> {
  try {
    for await (const event of submission.events) answer.take(submission.take(event));
  } finally {
    submission.end();
  }
  return answer.end();
}
