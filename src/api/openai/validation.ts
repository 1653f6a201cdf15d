import type { Hook } from '@hono/zod-openapi';
import type { Env, HonoRequest } from 'hono';
import type { z } from 'zod';
import { RequestError } from '../../serving/index.js';

type Issue = z.core.$ZodIssue;

/** Default hook of an app: throws what is wrong with a body. */
export const refuseInvalid: Hook<unknown, Env, string, unknown> = async (result, c) => {
  if (result.success) return;
  throw toRequestError(result.error.issues, result.target === 'json' ? await bodyOf(c.req) : c.req.query());
};

/** Undefined where there is none, and no Content-Type that promises one. */
function bodyOf(request: HonoRequest): Promise<unknown> {
  return request.json().catch(() => undefined);
}

/**
 * One clear sentence for what is wrong with a body, about the first fault that was found.
 *
 * @param body What was validated, to tell a missing field from one of the wrong type.
 */
function toRequestError(issues: readonly Issue[], body: unknown): RequestError {
  const issue = mostSpecific(issues[0] as Issue);
  const param = spellPath(issue.path);
  if (param === '') return new RequestError('The request body must be a JSON object.');
  const code = issue.code === 'custom' ? issue.params?.code : undefined;
  return new RequestError(`${param}: ${describeIssue(issue, valueAt(body, issue.path))}`, { param, code });
}

/** Of a value that matches no branch of a union, the branch that it went furthest into tells most. */
function mostSpecific(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const deeper = issue.errors
    .map((branch) => branch[0])
    .filter((inner) => inner !== undefined && inner.path.length > 0)
    .sort((a, b) => (b as Issue).path.length - (a as Issue).path.length)[0];
  return deeper ? mostSpecific({ ...deeper, path: [...issue.path, ...deeper.path] }) : issue;
}

function describeIssue(issue: Issue, value: unknown): string {
  if (value === undefined) return 'is required';
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${TYPE_NAMES[issue.expected] ?? `of type ${issue.expected}`}`;
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty';
      if (issue.origin === 'array') return `must have at least ${issue.minimum} item${issue.minimum === 1 ? '' : 's'}`;
      return `must be ${issue.inclusive ? '>=' : '>'} ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'array') return `must have at most ${issue.maximum} items`;
      return `must be ${issue.inclusive ? '<=' : '<'} ${issue.maximum}`;
    default:
      return issue.message;
  }
}

const TYPE_NAMES: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** `messages[0].content`, as OpenAI spells it. */
function spellPath(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
