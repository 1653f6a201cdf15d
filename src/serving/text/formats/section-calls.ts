import { readArguments } from './call-object.js';
import type { CallSyntax } from './call-syntax.js';
import { argumentsTag } from './call-tags.js';

/** Markers of calls that stand in a section of their own, each with a head and arguments. */
interface SectionMarkers {
  sectionBegin: string;
  callBegin: string;
  /** Between head and arguments. */
  separator: string;
  callEnd: string;
  sectionEnd: string;
  /** The tool's name in the head of a call; undefined: it follows behind the separator, on a line of its own. */
  nameOf(head: string): string | undefined;
  /** What stands around the arguments of a call, inside its markers. */
  write(name: string): { begin: string; end: string };
}

function createSectionCalls(markers: SectionMarkers): CallSyntax {
  const { sectionBegin, callBegin, separator, callEnd, sectionEnd } = markers;
  return {
    // Models forget the section's marker now and then.
    openers: [sectionBegin, callBegin],
    closers: [sectionEnd],
    markupTokens: [sectionBegin, callBegin, separator, callEnd, sectionEnd],

    *read(input, calls, opener) {
      let begun = opener === callBegin;
      while (true) {
        yield* input.skipSpace();
        begun = (yield* input.accept(callBegin)) || begun;
        if (!begun) return;
        begun = false;

        let head = '';
        yield* input.takeWhile(
          (unit) => /[\w.:-]/.test(unit),
          (text) => {
            head += text;
          },
        );
        if (!(yield* input.accept(separator))) return;
        let name = (yield* input.peek()) === '{' ? head : markers.nameOf(head);
        if (name === undefined) {
          name = '';
          yield* input.takeWhile(
            (unit) => /[\w.-]/.test(unit),
            (text) => {
              name += text;
            },
          );
          yield* input.skipSpace();
          yield* input.accept('```json');
        }
        yield* input.skipSpace();
        if (name === '' || (yield* input.peek()) !== '{') return;
        calls.start(markers.nameOf(name) ?? name);
        if (!(yield* readArguments(input, calls))) return;

        input.hold();
        yield* input.skipSpace();
        yield* input.accept('```');
        yield* input.skipSpace();
        if (yield* input.accept(callEnd)) calls.markup();
        input.hold();
      }
    },

    tags: {
      triggers: [sectionBegin],
      section: { begin: sectionBegin + callBegin, end: callEnd + sectionEnd },
      separator: callEnd + callBegin,
      call(tool) {
        const { begin, end } = markers.write(tool.name);
        return argumentsTag(begin, tool, end);
      },
    },
  };
}

const DEEPSEEK = {
  sectionBegin: '<｜tool▁calls▁begin｜>',
  callBegin: '<｜tool▁call▁begin｜>',
  separator: '<｜tool▁sep｜>',
  callEnd: '<｜tool▁call▁end｜>',
  sectionEnd: '<｜tool▁calls▁end｜>',
};

const deepseekName = (head: string): string | undefined => (head === 'function' ? undefined : head);

/** `function<｜tool▁sep｜>name`, then the arguments in a block of code: DeepSeek V3 and R1. */
export const deepseekV3Calls = createSectionCalls({
  ...DEEPSEEK,
  nameOf: deepseekName,
  write: (name) => ({
    begin: `function${DEEPSEEK.separator}${name}\n\`\`\`json\n`,
    end: '\n```',
  }),
});

/** `name<｜tool▁sep｜>{…}`: DeepSeek V3.1. */
export const deepseekV31Calls = createSectionCalls({
  ...DEEPSEEK,
  nameOf: deepseekName,
  write: (name) => ({ begin: `${name}${DEEPSEEK.separator}`, end: '' }),
});

const KIMI = {
  sectionBegin: '<|tool_calls_section_begin|>',
  callBegin: '<|tool_call_begin|>',
  separator: '<|tool_call_argument_begin|>',
  callEnd: '<|tool_call_end|>',
  sectionEnd: '<|tool_calls_section_end|>',
};

/** `functions.name:0<|tool_call_argument_begin|>{…}`: Kimi K2. */
export const kimiCalls = createSectionCalls({
  ...KIMI,
  nameOf: (head) => head.replace(/^functions\./, '').replace(/:\d+$/, ''),
  write: (name) => ({ begin: `functions.${name}:0${KIMI.separator}`, end: '' }),
});
