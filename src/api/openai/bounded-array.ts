import { z } from '@hono/zod-openapi';

/**
 * An array with a bound that holds before its elements are looked at: zod collects an issue for every bad element, and a
 * body of 32 MiB has room for 16 million of them.
 */
export function boundedArray<T extends z.ZodType>(element: T, bounds: { min?: number; max: number }) {
  const array = z
    .array(element)
    .min(bounds.min ?? 0)
    .max(bounds.max);
  return z.preprocess((value, context) => {
    if (Array.isArray(value) && value.length > bounds.max) {
      context.addIssue({ code: 'too_big', origin: 'array', maximum: bounds.max, inclusive: true, input: value });
    }
    return value;
  }, array);
}
