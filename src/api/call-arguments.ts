/** Arguments of a tool call for protocols that have them as an object. What `max_tokens` cut off is of no use: {}. */
export function parseCallArguments(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
