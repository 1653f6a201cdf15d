import type { EventWriter, StreamFormat } from '../../stream.js';
import { SSE_CONTENT_TYPE } from '../sse.js';
import type { Answer } from './answer.js';
import type { ResponseEvent } from './output.js';

/**
 * Writes an answer as events under OpenAI's names, numbered. Whatever happens, the last one has the whole response; no
 * `[DONE]` follows, neither at OpenAI's nor at vLLM's.
 */
export function responseEvents(answer: Answer): EventWriter & StreamFormat {
  let sequenceNumber = 0;
  let begun = false;

  function write(events: readonly ResponseEvent[]): string {
    let text = begin();
    for (const { type, ...fields } of events) text += event(type, fields);
    return text;
  }

  function begin(): string {
    if (begun) return '';
    begun = true;
    const response = answer.begin();
    return event('response.created', { response }) + event('response.in_progress', { response });
  }

  function event(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: sequenceNumber, ...fields });
    sequenceNumber += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }

  return {
    contentType: SSE_CONTENT_TYPE,
    event(taken) {
      const events = answer.take(taken);
      return events.length === 0 ? '' : write(events);
    },
    end() {
      const response = answer.end();
      return write([{ type: `response.${response.status}`, response }]);
    },
    error({ body }) {
      const { message, param, code } = body.error;
      const response = answer.fail(message);
      return write([
        { type: 'error', code, message, param },
        { type: 'response.failed', response },
      ]);
    },
  };
}
