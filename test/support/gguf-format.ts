/** The parts of GGUF v3 that reading and writing share: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

export const GGUF_VERSION = 3;

/** Value types by their number in the file. */
export const VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

type NumberType = 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'float64';

export type ScalarValue =
  | { type: NumberType; value: number }
  | { type: 'uint64' | 'int64'; value: bigint }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string };

export type ScalarType = ScalarValue['type'];

export type MetadataValue = ScalarValue | { type: 'array'; of: ScalarType; values: readonly ScalarValue['value'][] };

export type Metadata = ReadonlyMap<string, MetadataValue>;

/** Bytes of each scalar type of fixed size. */
export const SCALAR_BYTES: Record<Exclude<ScalarType, 'string'>, number> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
};
