import type { RecordedAnswer } from './recorded-answer.js';

export const mistralAnswers: readonly RecordedAnswer[] = [
  { what: 'text alone', answer: 'As [INST] says.', text: 'As [INST] says.' },
  {
    what: 'reasoning, then two calls',
    answer:
      '[THINK]Both [TOOL_CALLS] are needed.[/THINK]One moment.[TOOL_CALLS]get_weather[ARGS]{"city": "Nîmes", "unit": "celsius"}[TOOL_CALLS]current_time[ARGS]{}',
    reasoning: 'Both [TOOL_CALLS] are needed.',
    text: 'One moment.',
    calls: [
      ['get_weather', '{"city": "Nîmes", "unit": "celsius"}'],
      ['current_time', '{}'],
    ],
  },
  {
    what: 'a call with an id',
    answer: '[TOOL_CALLS]search_notes[CALL_ID]a1B2c3D4e[ARGS]{"query": "[ARGS]"}',
    calls: [['search_notes', '{"query": "[ARGS]"}']],
    broken: true,
  },
  {
    what: 'no marker before the arguments',
    answer: '[TOOL_CALLS]search_notes{"query": "x"}',
    calls: [['search_notes', '{"query": "x"}']],
    broken: true,
  },
  {
    what: 'names and no arguments',
    answer: '[TOOL_CALLS]search_notes[ARGS] "x" and [TOOL_CALLS]',
    text: '[TOOL_CALLS]search_notes[ARGS] "x" and [TOOL_CALLS]',
    broken: true,
  },
];

export const deepseekV3Answers: readonly RecordedAnswer[] = [
  {
    what: 'reasoning that the prompt has opened, then a call',
    prompt: '<｜User｜>Weather?<｜Assistant｜><think>\n',
    answer:
      'I need the tool.\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Hangzhou"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    reasoning: 'I need the tool.',
    calls: [['get_weather', '{"city": "Hangzhou"}']],
  },
  {
    what: 'two calls, one to a line',
    answer:
      'Both.\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>current_time\n```json\n{}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "北京"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    text: 'Both.',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "北京"}'],
    ],
    broken: true,
  },
  {
    what: 'no section around a call',
    answer: '<｜tool▁call▁begin｜>function<｜tool▁sep｜>current_time\n```json\n{}\n```<｜tool▁call▁end｜>',
    calls: [['current_time', '{}']],
    broken: true,
  },
  {
    what: 'a section without calls',
    answer: '<｜tool▁calls▁begin｜>none<｜tool▁calls▁end｜>',
    text: '<｜tool▁calls▁begin｜>none<｜tool▁calls▁end｜>',
    broken: true,
  },
];

export const deepseekV31Answers: readonly RecordedAnswer[] = [
  {
    what: 'two calls',
    answer:
      'Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>current_time<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Rome", "hourly": true}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    text: 'Let me see.',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Rome", "hourly": true}'],
    ],
  },
  {
    what: 'arguments that are none',
    answer:
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>current_time<｜tool▁sep｜>now<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    text: '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>current_time<｜tool▁sep｜>now<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    broken: true,
  },
];

export const kimiAnswers: readonly RecordedAnswer[] = [
  {
    what: 'two calls',
    answer:
      'On it. <|tool_calls_section_begin|><|tool_call_begin|>functions.current_time:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Rome"}<|tool_call_end|><|tool_calls_section_end|>',
    text: 'On it.',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Rome"}'],
    ],
  },
  {
    what: 'the length cuts off arguments',
    answer:
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:3<|tool_call_argument_begin|>{"city": "Ro',
    calls: [['get_weather', '{"city": "Ro']],
    broken: true,
  },
];

export const llamaAnswers: readonly RecordedAnswer[] = [
  { what: 'text alone', answer: '\n\nHello {"name": there}.', text: '\n\nHello {"name": there}.' },
  {
    what: 'a call',
    answer: '{"name": "get_weather", "parameters": {"city": "Austin", "days": 2}}',
    calls: [['get_weather', '{"city": "Austin", "days": 2}']],
  },
  {
    what: 'two calls',
    answer: '{"name": "current_time", "parameters": {}}; {"name": "get_weather", "parameters": {"city": "Austin"}}',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Austin"}'],
    ],
  },
  {
    what: 'a call that says it is one, behind a marker',
    answer: '<|python_tag|>{"type": "function", "name": "get_weather", "parameters": {"city": "Austin"}}',
    calls: [['get_weather', '{"city": "Austin"}']],
    broken: true,
  },
  {
    what: 'calls of Python',
    answer: '<|python_tag|>brave_search.call(query="x")',
    text: '<|python_tag|>brave_search.call(query="x")',
  },
  {
    what: 'an answer in JSON',
    answer: '{"title": "Austin", "name": "get_weather", "parameters": {}}',
    text: '{"title": "Austin", "name": "get_weather", "parameters": {}}',
  },
  {
    what: 'a name that is no tool',
    answer: '{"name": "Austin", "parameters": {}}',
    text: '{"name": "Austin", "parameters": {}}',
    broken: true,
  },
];

export const harmonyAnswers: readonly RecordedAnswer[] = [
  {
    what: 'reasoning and an answer',
    prompt: '<|start|>assistant',
    answer: '<|channel|>analysis<|message|>Easy: 2 + 2.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.',
    reasoning: 'Easy: 2 + 2.',
    text: 'It is 4.',
  },
  {
    what: 'reasoning, a preamble and a call',
    prompt: '<|start|>assistant',
    answer:
      '<|channel|>analysis<|message|>I call it.<|end|><|start|>assistant<|channel|>commentary<|message|>Looking it up.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Tokyo", "unit": "celsius"}',
    reasoning: 'I call it.',
    text: 'Looking it up.',
    calls: [['get_weather', '{"city": "Tokyo", "unit": "celsius"}']],
  },
  {
    what: 'a recipient before the channel, and the token that ends calls',
    prompt: '<|start|>assistant',
    answer: ' to=functions.current_time<|channel|>commentary json<|message|>{}<|call|>',
    calls: [['current_time', '{}']],
    broken: true,
  },
  {
    what: 'several thoughts',
    prompt: '<|start|>assistant',
    answer:
      '<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>Two.<|end|><|start|>assistant<|channel|>final<|message|>Done.<|return|>',
    reasoning: 'One.\nTwo.',
    text: 'Done.',
    broken: true,
  },
  {
    what: 'no markup at all',
    prompt: '<|start|>assistant',
    answer: 'It is 4, to=me.',
    text: 'It is 4, to=me.',
    broken: true,
  },
  {
    what: 'the length cuts off a header',
    prompt: '<|start|>assistant',
    answer: '<|channel|>final<|message|>Yes.<|start|>assistant<|chan',
    text: 'Yes.<|start|>assistant<|chan',
    broken: true,
  },
];
