import { OpenAPIHono } from '@hono/zod-openapi';
import { html, raw } from 'hono/html';

/** What the page shows of an OpenAPI document. */
interface Document {
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

interface Operation {
  summary?: string;
  requestBody?: { content?: Record<string, { schema?: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
}

interface Schema {
  $ref?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  [keyword: string]: unknown;
}

type Markup = ReturnType<typeof html>;

/**
 * `GET /docs`: the OpenAPI document as a page to browse. Written here rather than by one of the usual viewers, which
 * load themselves from elsewhere or bring a hundred packages: the page works without a network.
 *
 * @param describe Gives the document; called for each page.
 */
export function docs(describe: () => unknown): OpenAPIHono {
  const app = new OpenAPIHono();
  app.get('/docs', (c) => {
    // The page needs its own style and nothing else.
    c.header('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    return c.html(page(describe() as Document));
  });
  return app;
}

const STYLE = `
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
  details { border: 1px solid #d5dce3; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
  summary { cursor: pointer; } code, pre { font: 13px/1.45 ui-monospace, monospace; }
  pre { background: #f5f7f9; padding: .6rem; overflow: auto; border-radius: 4px; }
  .method { display: inline-block; min-width: 3.6rem; font-weight: 600; color: #0b62a3; }
  table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid #e3e8ed; padding: .25rem .5rem; vertical-align: top; }
  td:first-child { white-space: nowrap; } .muted { color: #66727e; }
`;

function page(document: Document): Markup {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationBlock(path, method, operation, document)),
  );
  const schemas = Object.entries(document.components?.schemas ?? {}).map(
    ([name, schema]) =>
      html`<details id="${name}"><summary><code>${name}</code></summary><pre>${JSON.stringify(schema, null, 2)}</pre></details>`,
  );
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" /><meta name="viewport" content="width=device-width" />
        <title>${document.info.title} API</title>
        <style>${raw(STYLE)}</style>
      </head>
      <body>
        <h1>${document.info.title} API</h1>
        <p>The same for programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
        <h2>Operations</h2>
        ${operations}
        <h2>Schemas</h2>
        ${schemas}
      </body>
    </html>`;
}

function operationBlock(path: string, method: string, operation: Operation, document: Document): Markup {
  const body = operation.requestBody?.content?.['application/json']?.schema;
  const responses = Object.entries(operation.responses).map(
    ([status, { description }]) => html`<tr><td><code>${status}</code></td><td>${description}</td></tr>`,
  );
  return html`<details>
    <summary><span class="method">${method.toUpperCase()}</span> <code>${path}</code> <span class="muted">${operation.summary ?? ''}</span></summary>
    ${body === undefined ? '' : html`<h4>Request</h4>${fieldTable(body, document)}`}
    <h4>Answers</h4>
    <table>${responses}</table>
  </details>`;
}

function fieldTable(schema: Schema, document: Document): Markup {
  const { properties = {}, required = [] } = resolve(schema, document);
  const rows = Object.entries(properties).map(
    ([name, field]) => html`<tr>
      <td><code>${name}</code>${required.includes(name) ? ' *' : ''}</td>
      <td>${field.description ?? resolve(field, document).description ?? ''} ${typeOf(field)}</td>
    </tr>`,
  );
  return html`<table>${rows}</table>`;
}

/** What there is to know beside the description: a link to a schema of its own, or the schema itself. */
function typeOf({ description: _, ...schema }: Schema): Markup {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return html`<a href="#${name}"><code>${name}</code></a>`;
  return html`<code class="muted">${JSON.stringify(schema)}</code>`;
}

function resolve(schema: Schema, document: Document): Schema {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : (document.components?.schemas?.[name] ?? schema);
}
