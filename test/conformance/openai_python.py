"""The official Python client against the server whose address is in QUIRE_URL."""

import json
import os
import unittest

import openai
from pydantic import BaseModel, Field

client = openai.OpenAI(base_url=os.environ["QUIRE_URL"] + "/v1", api_key="none", max_retries=0)
MODEL = "default"
SMALL = dict(model=MODEL, messages=[{"role": "user", "content": "What is gravity?"}], max_tokens=12, temperature=0)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int


class Client(unittest.TestCase):
    def test_whole_and_streamed_chats_are_the_same(self):
        whole = client.chat.completions.create(**SMALL)
        stream = client.chat.completions.create(**SMALL, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        self.assertEqual(streamed, whole.choices[0].message.content)

    def test_a_tool_that_must_be_called(self):
        answer = client.chat.completions.create(**{**SMALL, "max_tokens": 60}, tools=[WEATHER], tool_choice="required")
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.name, "get_weather")
        self.assertIsInstance(json.loads(call.function.arguments)["city"], str)

    def test_a_structured_answer(self):
        answer = client.chat.completions.parse(**{**SMALL, "max_tokens": 80}, response_format=Person)
        self.assertIsInstance(answer.choices[0].message.parsed, Person)

    def test_completions_with_log_probabilities(self):
        answer = client.completions.create(model=MODEL, prompt="Once", max_tokens=3, logprobs=2)
        self.assertEqual(len(answer.choices[0].logprobs.tokens), 3)

    def test_embeddings(self):
        answer = client.embeddings.create(model=MODEL, input=["a", "b"])
        self.assertEqual(len(answer.data), 2)
        self.assertAlmostEqual(sum(x * x for x in answer.data[0].embedding), 1, places=3)

    def test_responses(self):
        answer = client.responses.create(model=MODEL, input="What is gravity?", max_output_tokens=12)
        self.assertGreater(len(answer.output_text), 0)

    def test_a_mistake_is_an_error_of_its_kind(self):
        with self.assertRaises(openai.BadRequestError):
            client.chat.completions.create(**{**SMALL, "temperature": 9})
        with self.assertRaises(openai.NotFoundError):
            client.chat.completions.create(**{**SMALL, "model": "no such"})


if __name__ == "__main__":
    unittest.main()
