import { RequestError } from './errors.js';

/**
 * @param param The request field the ids come from.
 * @throws RequestError for anything that is not the id of a token: the engine indexes arrays with them.
 */
export function checkTokenIds(tokens: Iterable<number>, vocabSize: number, param: string): void {
  for (const token of tokens) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
      throw new RequestError(`${param}: token id ${token} is not in the vocabulary (0 to ${vocabSize - 1}).`, {
        param,
      });
    }
  }
}
