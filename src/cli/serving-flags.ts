import { type Command, Option } from 'commander';
import { z } from 'zod';
import { flagOf, parseServingOptions, type ServingOptionsInput, servingOptions } from '../serving/index.js';
import { CliError } from './cli-error.js';

/** Options that the command line takes in another way, or that only tests want. */
const NOT_FLAGS = ['model', 'checkEveryStep'];

/** What stands for an option's value in the help; `<n>` for the rest. */
const PLACEHOLDERS: Record<string, string> = {
  servedModelName: '<name...>',
  device: '<device>',
  kvCacheMemory: '<size>',
  kvCacheDtype: '<type>',
  kvBackend: '<backend>',
  loadMode: '<mode>',
  targetItl: '<ms>',
  policy: '<policy>',
  batchWindow: '<ms>',
  batchInvariant: '<when>',
  requantize: '<type>',
  engineTimeout: '<s>',
  maxQueueTime: '<s>',
  requestTimeout: '<s>',
};

/** Adds `[model]`, `--model` and a flag for everything else that can be set about serving a model. */
export function addServingFlags(command: Command): Command {
  command
    .argument('[model]', asClause(servingOptions.shape.model.description ?? ''))
    .option('--model <model>', 'the same as the argument');
  const defaults = parseServingOptions({});
  for (const [name, schema] of Object.entries(servingOptions.shape)) {
    if (!NOT_FLAGS.includes(name)) {
      command.addOption(servingFlag(name, schema, defaults[name as keyof typeof defaults]));
    }
  }
  return command;
}

function servingFlag(name: string, schema: z.ZodType, defaultValue: unknown): Option {
  const flag = flagOf(name);
  const description = asClause(schema.description ?? '');
  if (defaultValue === true) return new Option(flag.replace('--', '--no-'), `do not ${description}`);
  if (defaultValue === false) return new Option(flag, description);
  const option = new Option(`${flag} ${PLACEHOLDERS[name] ?? '<n>'}`, description);
  // The descriptions say what an empty list and 0 stand for.
  if (!Array.isArray(defaultValue) && defaultValue !== 0) option.default(defaultValue);
  const inner = schema instanceof z.ZodDefault ? schema.unwrap() : schema;
  return inner instanceof z.ZodEnum ? option.choices(inner.options.map(String)) : option;
}

/**
 * Picks what {@link addServingFlags} added out of a command's flags.
 *
 * @throws {CliError} when the model is named twice, differently
 */
export function servingOptionsOf(model: string | undefined, flags: Record<string, unknown>): ServingOptionsInput {
  const names = Object.keys(servingOptions.shape).filter((name) => flags[name] !== undefined);
  const options = Object.fromEntries(names.map((name) => [name, flags[name]]));
  return { ...options, model: oneModel(model, flags.model as string | undefined) };
}

/**
 * The model, named by argument or by `--model`.
 *
 * @throws {CliError} when both are given and differ
 */
export function oneModel(argument: string | undefined, flag: string | undefined): string | undefined {
  if (argument !== undefined && flag !== undefined && argument !== flag) {
    throw new CliError(`two models are given, ${argument} and ${flag}`, {
      hint: 'Name one, as the argument or with --model.',
      exitCode: 2,
    });
  }
  return argument ?? flag;
}

/** Help texts begin in lower case, but for abbreviations. */
function asClause(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
