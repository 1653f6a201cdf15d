import { createApp } from '../../src/api/index.js';
import type { Serving } from '../../src/serving/index.js';
import { createLogger } from '../../src/telemetry/index.js';
import peers from './peers.json' with { type: 'json' };

interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  items?: Schema;
  /** Fields that are known and refused, each with the values that ask for nothing. */
  'x-unsupported'?: Record<string, unknown[]>;
}

interface Operation {
  summary?: string;
  requestBody?: { content?: Record<string, { schema?: Schema }> };
}

interface OpenApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** How descriptions of fields begin that change nothing. */
const IGNORED = /^Accepted, without effect(: |\.$)/;

const INTRODUCTION = `# API reference

Every field of every endpoint, from the schemas that requests are checked with. \`GET /openapi.json\` of a running server
is the same as an OpenAPI 3.1 document, and \`GET /docs\` a page to browse it.

*Supported* fields do what their description says. *Ignored* ones are accepted and change nothing, for the reason given.
*Refused* ones would change the answer in ways that are not implemented: they get a 400 whose \`code\` is
\`unsupported_parameter\`, unless they have a value that asks for nothing. Fields that no table names are ignored, as vLLM
and llama-server do. In all protocols null means absent.
`;

/** The text of docs/api.md. */
export async function apiReference(): Promise<string> {
  const app = createApp({} as Serving, { logger: createLogger({ level: 'silent' }) });
  const document = (await (await app.request('/openapi.json')).json()) as OpenApiDocument;
  const sections = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => section(path, method, operation, document)),
  );
  return `${[INTRODUCTION, ...sections].join('\n')}`;
}

function section(path: string, method: string, { summary, requestBody }: Operation, document: OpenApiDocument): string {
  const heading = `## ${method.toUpperCase()} ${path}\n\n${summary ?? ''}.\n`;
  const schema = requestBody?.content?.['application/json']?.schema;
  if (schema === undefined) return heading;
  const rows = fieldRows(resolve(schema, document), document, path);
  if (rows.length === 0) return heading;
  const compared = path in peers.vLLM;
  const header = ['field', 'type', 'status', '', ...(compared ? ['vLLM', 'llama-server'] : [])];
  const lines = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${heading}\n${lines.join('\n')}\n`;
}

function fieldRows(schema: Schema, document: OpenApiDocument, path: string): string[][] {
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required);
  const known = properties.map(([name, field]) => {
    const { description = '' } = resolve(field, document);
    const text = field.description ?? description;
    const status = IGNORED.test(text) ? 'ignored' : required.has(name) ? 'supported, required' : 'supported';
    return [name, typeOf(field, document), status, text.replace(IGNORED, '')];
  });
  const refused = Object.entries(schema['x-unsupported'] ?? {}).map(([name, neutral]) => {
    const values = neutral.map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
    return [name, '', 'refused', values === '' ? '' : `unless it is ${values}`];
  });
  const rows = [...known, ...refused];
  if (!(path in peers.vLLM)) return rows.map(([name, ...rest]) => [`\`${name}\``, ...rest.map(cell)]);

  const lists = [peers.vLLM, peers['llama-server']].map(
    (peer) => new Set((peer as Record<string, string>)[path]?.split(' ')),
  );
  const names = new Set(rows.map(([name]) => name));
  const unknown = [...new Set(lists.flatMap((list) => [...list]))].filter((name) => !names.has(name));
  return [...rows, ...unknown.map((name) => [name, '', 'ignored', 'not known here'])].map(([name, ...rest]) => [
    `\`${name}\``,
    ...rest.map(cell),
    ...lists.map((list) => (list.has(name!) ? 'yes' : '')),
  ]);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function resolve(schema: Schema, document: OpenApiDocument): Schema {
  return schema.$ref === undefined ? schema : document.components.schemas[schema.$ref.split('/').at(-1)!]!;
}

/** In words: `string or list of strings`, `number from 0 to 2`. */
function typeOf(field: Schema, document: OpenApiDocument): string {
  const schema = resolve(field, document);
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches)
    return [...new Set(branches.map((branch) => typeOf(branch, document)))]
      .filter((type) => type !== '' && type !== 'null')
      .join(' or ');
  if (schema.enum)
    return schema.enum
      .filter((value) => value !== null)
      .map((value) => `\`${JSON.stringify(value)}\``)
      .join(' or ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  const types = [schema.type ?? 'any'].flat().filter((type) => type !== 'null');
  return types
    .map((type) => (type === 'array' ? `list of ${typeOf(schema.items ?? {}, document)}` : type) + range(schema))
    .join(' or ');
}

function range({ minimum, maximum, exclusiveMinimum }: Schema): string {
  const bounded = (value?: number) => value !== undefined && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  const parts = [
    bounded(minimum) && `≥ ${minimum}`,
    bounded(exclusiveMinimum) && `> ${exclusiveMinimum}`,
    bounded(maximum) && `≤ ${maximum}`,
  ].filter(Boolean);
  return parts.length === 0 ? '' : ` ${parts.join(', ')}`;
}
