/**
 * Yields what several sources yield, in the order in which it comes. At most one item of each source is taken ahead: a
 * reader that waits makes the sources wait. Ends when all have ended; an error of one ends all.
 */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const arrived: Arrival<T>[] = [];
  let wake = (): void => {};
  const request = (source: number): void => {
    const arrive = (arrival: Arrival<T>): void => {
      arrived.push(arrival);
      wake();
    };
    (iterators[source] as AsyncIterator<T>).next().then(
      (result) => arrive({ source, result }),
      (error: unknown) => arrive({ source, error }),
    );
  };

  try {
    iterators.forEach((_, source) => {
      request(source);
    });
    let open = iterators.length;
    while (open > 0) {
      if (arrived.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      for (const arrival of arrived.splice(0)) {
        if ('error' in arrival) throw arrival.error;
        if (arrival.result.done) {
          open -= 1;
          continue;
        }
        yield arrival.result.value;
        request(arrival.source);
      }
    }
  } finally {
    await Promise.all(iterators.map((iterator) => iterator.return?.()));
  }
}

type Arrival<T> = { source: number; result: IteratorResult<T> } | { source: number; error: unknown };
