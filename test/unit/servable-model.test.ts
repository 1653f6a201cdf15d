import { describe, expect, it } from 'vitest';
import { checkServable } from '../../src/engine/servable-model.js';

function modelOf(architecture: string, metadata: Record<string, string> = {}, hasDecoder = true) {
  return { hasDecoder, metadata: () => new Map(Object.entries({ 'general.architecture': architecture, ...metadata })) };
}

describe('models that can be served', () => {
  it('are those that look back only', () => {
    expect(() => checkServable(modelOf('llama'))).not.toThrow();
    expect(() => checkServable(modelOf('qwen3', { 'qwen3.attention.causal': 'true' }))).not.toThrow();
    expect(() => checkServable(modelOf('bert', { 'bert.attention.causal': 'false' }))).toThrow(
      'bert models are encoders: they are not served',
    );
    expect(() => checkServable(modelOf('t5encoder', {}, false))).toThrow('t5encoder models are encoders');
  });
});
