import type { RecordedAnswer } from './recorded-answer.js';

export const qwenCoderAnswers: readonly RecordedAnswer[] = [
  { what: 'text alone', answer: 'Use <parameter=x> there.', text: 'Use <parameter=x> there.' },
  {
    what: 'a call with arguments of all types',
    answer:
      'I look.\n\n<tool_call>\n<function=search_notes>\n<parameter=query>\n123\n</parameter>\n<parameter=tags>\n["a", "b"]\n</parameter>\n<parameter=limit>\n5\n</parameter>\n<parameter=options>\n{"exact": true}\n</parameter>\n</function>\n</tool_call>',
    text: 'I look.',
    calls: [['search_notes', '{"query": "123", "tags": ["a", "b"], "limit": 5, "options": {"exact": true}}']],
  },
  {
    what: 'lines and quotes in a value, and a word of Python',
    answer:
      '<tool_call>\n<function=get_weather>\n<parameter=city>\n  "São\n\nPaulo" <b>\n</parameter>\n<parameter=hourly>\nTrue\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=current_time>\n</function>\n</tool_call>',
    calls: [
      ['get_weather', '{"city": "  \\"São\\n\\nPaulo\\" <b>", "hourly": true}'],
      ['current_time', '{}'],
    ],
    broken: true,
  },
  {
    what: 'no marker around a call, arguments no schema knows',
    answer: '<function=fly_home><parameter=speed>3</parameter><parameter=to>Rome</parameter></function>',
    calls: [['fly_home', '{"speed": 3, "to": "Rome"}']],
    broken: true,
  },
  {
    what: 'the length cuts off a value',
    answer: '<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n<parameter=days>\n1',
    text: '<parameter=days>\n1',
    calls: [['get_weather', '{"city": "Rome"']],
    broken: true,
  },
  {
    what: 'markup and no call',
    answer: '<tool_call> and <function=> are tags.',
    text: '<tool_call> and <function=> are tags.',
    broken: true,
  },
];

export const seedAnswers: readonly RecordedAnswer[] = [
  {
    what: 'reasoning, then a call',
    answer:
      '<seed:think>They want Rome.</seed:think>\n<seed:tool_call>\n<function=get_weather>\n<parameter=city>Rome</parameter>\n</function>\n</seed:tool_call>',
    reasoning: 'They want Rome.',
    calls: [['get_weather', '{"city": "Rome"}']],
  },
];

export const glmAnswers: readonly RecordedAnswer[] = [
  {
    what: 'reasoning, text and two calls',
    answer:
      '\n<think>Both.</think>\nOne moment.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>current_time\n</tool_call>',
    reasoning: 'Both.',
    text: 'One moment.',
    calls: [
      ['get_weather', '{"city": "Rome", "days": 3}'],
      ['current_time', '{}'],
    ],
    broken: true,
  },
  {
    what: 'arguments in JSON, as a grammar has them',
    answer: '<tool_call>get_weather\n{"city": "Rome"}\n</tool_call>',
    calls: [['get_weather', '{"city": "Rome"}']],
  },
  { what: 'markup and no call', answer: '<tool_call>is a tag', text: '<tool_call>is a tag', broken: true },
];

export const minimaxM2Answers: readonly RecordedAnswer[] = [
  {
    what: 'reasoning that the prompt has opened, then two calls',
    prompt: ']~b]ai\n<think>\n',
    answer:
      'Both.\n</think>\n\n<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Rome</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n<invoke name="current_time">\n</invoke>\n</minimax:tool_call>',
    reasoning: 'Both.',
    calls: [
      ['get_weather', '{"city": "Rome", "days": 3}'],
      ['current_time', '{}'],
    ],
    broken: true,
  },
];

export const functionTagAnswers: readonly RecordedAnswer[] = [
  {
    what: 'text, then two calls',
    answer: 'Sure.<function=get_weather>{"city": "Rome"}</function><function=current_time>{}</function>',
    text: 'Sure.',
    calls: [
      ['get_weather', '{"city": "Rome"}'],
      ['current_time', '{}'],
    ],
  },
];

export const lfmAnswers: readonly RecordedAnswer[] = [
  { what: 'text alone', answer: '[1] is a note (see "x").', text: '[1] is a note (see "x").' },
  {
    what: 'two calls in Python, then text',
    answer:
      "<|tool_call_start|>[get_weather(city=\"Rome\", days=3, hourly=True), search_notes(query='it\\'s \"x\"\\n', tags=[\"a\", 'b'], options={'exact': None})]<|tool_call_end|>Checking.",
    text: 'Checking.',
    calls: [
      ['get_weather', '{"city": "Rome", "days": 3, "hourly": true}'],
      ['search_notes', '{"query": "it\'s \\"x\\"\\n", "tags": ["a", "b"], "options": {"exact": null}}'],
    ],
    broken: true,
  },
  {
    what: 'calls in JSON, as a grammar has them',
    answer:
      '<|tool_call_start|>[{"name": "current_time", "arguments": {}}, {"name": "get_weather", "arguments": {"city": "Rome"}}]<|tool_call_end|>',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Rome"}'],
    ],
  },
  {
    what: 'no markers',
    answer: '[current_time(), get_weather(city="Rome")]',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Rome"}'],
    ],
    broken: true,
  },
  {
    what: 'the length cuts off a value',
    answer: '<|tool_call_start|>[get_weather(city="Rome", days=',
    text: 'days=',
    calls: [['get_weather', '{"city": "Rome"']],
    broken: true,
  },
  {
    what: 'markup and no call',
    answer: '<|tool_call_start|>nothing<|tool_call_end|>',
    text: '<|tool_call_start|>nothing<|tool_call_end|>',
    broken: true,
  },
];
