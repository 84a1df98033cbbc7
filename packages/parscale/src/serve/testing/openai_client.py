"""PyPI's openai against a server: prints what it got as JSON."""
import json
import sys

from openai import APIStatusError, BadRequestError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
model = sys.argv[2]
messages = [{"role": "user", "content": "What is the capital of France?"}]
asked = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 16}

out = {}
answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
out["content"] = answer.choices[0].message.content
out["logprobs"] = len(answer.choices[0].logprobs.content)

text, usage = "", None
for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
    text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    usage = chunk.usage or usage
out["streamed"] = text
out["usage"] = usage.model_dump()

response = client.responses.create(model=model, input=messages, temperature=0, max_output_tokens=16)
out["response"] = response.output_text
with client.responses.stream(model=model, input=messages, temperature=0, max_output_tokens=16) as stream:
    events = list(stream)
out["events"] = [event.type for event in events]
out["final"] = events[-1].response.output[0].content[0].text

schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"], "additionalProperties": False}
form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}}
structured = client.chat.completions.create(model=model, messages=messages, temperature=0, response_format=form)
out["structured"] = json.loads(structured.choices[0].message.content)
tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
called = client.chat.completions.create(
    model=sys.argv[3], messages=messages, temperature=0, tools=tools, tool_choice="required", parallel_tool_calls=False
)
out["called"] = [[one.function.name, json.loads(one.function.arguments)] for one in called.choices[0].message.tool_calls]

out["embedding"] = len(client.embeddings.create(model=model, input="Paris").data[0].embedding)
out["models"] = [one.id for one in client.models.list()]
try:
    client.chat.completions.create(**{**asked, "messages": [{"role": "user", "content": "word " * 20000}]})
except BadRequestError as error:
    out["error"] = [error.code, error.message]
try:
    # Refused before it is read: far more than what sockets hold is still on its way.
    client.completions.create(model=model, prompt="x" * 50 * 2**20)
except APIStatusError as error:
    out["large"] = [error.status_code, error.code]
print(json.dumps(out))
