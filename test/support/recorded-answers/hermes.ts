import type { RecordedAnswer } from './recorded-answer.js';

export const hermesAnswers: readonly RecordedAnswer[] = [
  { what: 'text alone', answer: 'Lisbon lies on the Tagus.\n', text: 'Lisbon lies on the Tagus.\n' },
  {
    what: 'a call',
    answer: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Lisbon", "unit": "celsius"}}\n</tool_call>',
    calls: [['get_weather', '{"city": "Lisbon", "unit": "celsius"}']],
  },
  {
    what: 'text, then two calls',
    answer:
      'Let me look both up.\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "São Paulo 🌧"}}\n</tool_call>\n' +
      '<tool_call>\n{"name": "search_notes", "arguments": {"query": "rain \\"gear\\" {[", "tags": ["trip", "}"]}}\n</tool_call>',
    text: 'Let me look both up.',
    calls: [
      ['get_weather', '{"city": "São Paulo 🌧"}'],
      ['search_notes', '{"query": "rain \\"gear\\" {[", "tags": ["trip", "}"]}'],
    ],
  },
  {
    what: 'reasoning, then a call',
    answer:
      '<think>\nThey want the time.\nNo <tool_call> needed? Yes, one.\n</think>\n\n<tool_call>\n{"name": "current_time", "arguments": {}}\n</tool_call>',
    reasoning: 'They want the time.\nNo <tool_call> needed? Yes, one.',
    calls: [['current_time', '{}']],
  },
  {
    what: 'reasoning that the prompt has opened',
    prompt: '<|im_start|>user\nWhat does <think> mean?<|im_end|>\n<|im_start|>assistant\n<think>\n',
    answer: 'Just a word.\n</think>\n\nA marker.',
    reasoning: 'Just a word.',
    text: 'A marker.',
  },
  {
    what: 'no reasoning as the prompt has closed it',
    prompt: '<|im_start|>assistant\n<think>\n\n</think>\n\n',
    answer: 'A marker.',
    text: 'A marker.',
  },
  {
    what: 'no reasoning where only a message speaks of it',
    prompt: '<|im_start|>user\nWhat does <think> mean?<|im_end|>\n<|im_start|>assistant\n',
    answer: 'A marker, as in <think>.',
    text: 'A marker, as in <think>.',
  },
  { what: 'empty reasoning', answer: '<think>\n\n</think>\n\nHello!', text: 'Hello!' },
  {
    what: 'arguments before the name',
    answer: '<tool_call>{"arguments": {"query": "x"}, "name": "search_notes"}</tool_call> Done.',
    text: 'Done.',
    calls: [['search_notes', '{"query": "x"}']],
    broken: true,
  },
  {
    what: 'arguments as a string, and none',
    answer:
      '<tool_call>{"name": "search_notes", "arguments": "{\\"query\\": \\"x\\"}"}</tool_call><tool_call>{"name": "current_time"}</tool_call>',
    calls: [
      ['search_notes', '{"query": "x"}'],
      ['current_time', '{}'],
    ],
    broken: true,
  },
  {
    what: 'a list of calls, as SmolLM2 writes it',
    answer:
      '<tool_call>[{"name": "current_time", "arguments": {}}, {"name": "get_weather", "arguments": {"city": "Oslo"}}]</tool_call>',
    calls: [
      ['current_time', '{}'],
      ['get_weather', '{"city": "Oslo"}'],
    ],
    broken: true,
  },
  {
    what: 'a name that is no tool',
    answer: '<tool_call>\n{"name": "fly_home", "arguments": {}}\n</tool_call>',
    calls: [['fly_home', '{}']],
    broken: true,
  },
  {
    what: 'a brace too few, and one too many',
    answer:
      '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}\n</tool_call>\n<tool_call>\n{"name": "current_time", "arguments": {}}}\n</tool_call>\nThere.',
    text: 'There.',
    calls: [
      ['get_weather', '{"city": "Oslo"}'],
      ['current_time', '{}'],
    ],
    broken: true,
  },
  {
    what: 'arguments that the markup cuts off',
    answer: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"</tool_call>\nThere.',
    text: 'There.',
    calls: [['get_weather', '{"city": "Oslo"']],
    broken: true,
  },
  {
    what: 'the length cuts off arguments',
    answer: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Os',
    calls: [['get_weather', '{"city": "Os']],
    broken: true,
  },
  {
    what: 'the length cuts off a name',
    answer: 'Well. <tool_call>\n{"name": "get_wea',
    text: 'Well. <tool_call>\n{"name": "get_wea',
    broken: true,
  },
  {
    what: 'markup around what is no call',
    answer: 'Use <tool_call> tags: <tool_call>\n{"title": "x"}\n</tool_call> Or <tool_call>[]. <tool_cal',
    text: 'Use <tool_call> tags: <tool_call>\n{"title": "x"}\n</tool_call> Or <tool_call>[]. <tool_cal',
    broken: true,
  },
  {
    what: 'reasoning that never ends',
    answer: '<think>\nIt goes on <tool_call>{"name": "current_time"}</tool_call>\n\nand on.\n',
    reasoning: 'It goes on <tool_call>{"name": "current_time"}</tool_call>\n\nand on.\n',
    broken: true,
  },
];

export const genericAnswers: readonly RecordedAnswer[] = [
  ...hermesAnswers,
  {
    what: 'a bare call',
    answer: '{"name": "get_weather", "parameters": {"city": "Oslo"}}',
    calls: [['get_weather', '{"city": "Oslo"}']],
    broken: true,
  },
  {
    what: 'a call in a block of code, and text behind it',
    answer: '```json\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n```\nThat is it.',
    text: 'That is it.',
    calls: [['get_weather', '{"city": "Oslo"}']],
    broken: true,
  },
  {
    what: 'a list of bare calls',
    answer:
      '[{"name": "current_time", "arguments": {}}, {"type": "function", "function": {"name": "current_time", "arguments": {}}}]',
    calls: [
      ['current_time', '{}'],
      ['current_time', '{}'],
    ],
    broken: true,
  },
  {
    what: 'an answer in JSON that is no call',
    answer: '{"name": "Oslo", "population": 700000} is what I know. ```json\n{}\n```',
    text: '{"name": "Oslo", "population": 700000} is what I know. ```json\n{}\n```',
    broken: false,
  },
  { what: 'a block of code', answer: '```js\nlet a = "[";\n```\n', text: '```js\nlet a = "[";\n```\n' },
];
