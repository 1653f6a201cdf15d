import type { RecordedAnswer } from './recorded-answer.js';

/** Answers in a format that writes a list of calls behind a marker. */
function listAnswers(opener: string, closer: string): RecordedAnswer[] {
  return [
    { what: 'text alone', answer: 'I can look that up: [1] or {2}?', text: 'I can look that up: [1] or {2}?' },
    {
      what: 'a call',
      answer: `${opener}[{"name": "get_weather", "arguments": {"city": "Zürich", "days": 3}}]${closer}`,
      calls: [['get_weather', '{"city": "Zürich", "days": 3}']],
    },
    {
      what: 'text, then two calls',
      answer: `Both, then.\n${opener}[{"name": "current_time", "arguments": {}}, {"name": "search_notes", "arguments": {"query": "a]}", "limit": 2.5}}]${closer}`,
      text: 'Both, then.',
      calls: [
        ['current_time', '{}'],
        ['search_notes', '{"query": "a]}", "limit": 2.5}'],
      ],
    },
    {
      what: 'space around everything',
      answer: `${opener} [\n  {\n    "name": "get_weather",\n    "arguments": {\n      "city": "Rome"\n    }\n  }\n]${closer}\n`,
      calls: [['get_weather', '{\n      "city": "Rome"\n    }']],
      broken: true,
    },
    {
      what: 'a second call that is none',
      answer: `${opener}[{"name": "current_time", "arguments": {}}, {"nam": 1}]`,
      text: ', {"nam": 1}]',
      calls: [['current_time', '{}']],
      broken: true,
    },
    {
      what: 'the length cuts off a second call',
      answer: `${opener}[{"name": "current_time", "arguments": {}}, {"name": "get_weather", "arguments": {"city": "`,
      calls: [
        ['current_time', '{}'],
        ['get_weather', '{"city": "'],
      ],
      broken: true,
    },
    {
      what: 'a marker and no list',
      answer: `${opener} is how calls begin.`,
      text: `${opener} is how calls begin.`,
      broken: true,
    },
  ];
}

export const graniteAnswers: readonly RecordedAnswer[] = [
  ...listAnswers('<|tool_call|>', ''),
  {
    what: 'thoughts and response',
    answer: '<think>Four and four.</think><response>It is 8.</response>',
    reasoning: 'Four and four.',
    text: 'It is 8.',
  },
];

export const phiAnswers = listAnswers('<|tool_call|>', '<|/tool_call|>');
export const functoolsAnswers = listAnswers('functools', '');
export const nemotronAnswers = listAnswers('<TOOLCALL>', '</TOOLCALL>');

export const minimaxAnswers: readonly RecordedAnswer[] = [
  ...listAnswers('<tool_calls>', '</tool_calls>'),
  {
    what: 'calls line by line',
    answer:
      '<tool_calls>\n{"name": "current_time", "arguments": {}}\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_calls>',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Bern"}'],
    ],
    broken: true,
  },
];

export const cohereAnswers: readonly RecordedAnswer[] = [
  {
    what: 'thoughts and response',
    answer:
      '<|START_THINKING|>Simple.<|END_THINKING|><|START_RESPONSE|>Four, <|START_ACTION|> no more.<|END_RESPONSE|>',
    reasoning: 'Simple.',
    text: 'Four, <|START_ACTION|> no more.',
    broken: true,
  },
  {
    what: 'a plan, then calls',
    answer:
      '<|START_THINKING|>I look up both.<|END_THINKING|><|START_ACTION|>[{"tool_call_id": "0", "tool_name": "current_time", "parameters": {}}, {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Nice"}}]<|END_ACTION|>',
    reasoning: 'I look up both.',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Nice"}'],
    ],
  },
];

export const mistralListAnswers: readonly RecordedAnswer[] = [
  ...listAnswers('[TOOL_CALLS]', ''),
  {
    what: 'calls with ids of their own',
    answer: '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Nice"}, "id": "9Ab3dE7gH"}]',
    calls: [['get_weather', '{"city": "Nice"}']],
    broken: true,
  },
];
