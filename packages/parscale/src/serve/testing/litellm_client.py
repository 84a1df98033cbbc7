"""PyPI's litellm against a server: prints what it got as JSON."""
import json
import sys

import litellm

base, chat, tooled = sys.argv[1:4]
asked = {"api_base": base, "api_key": "none", "temperature": 0, "num_retries": 0}
messages = [{"role": "user", "content": "What is the capital of France?"}]
schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"], "additionalProperties": False}

out = {}
whole = litellm.completion(model=f"openai/{chat}", messages=messages, max_tokens=16, **asked)
out["content"] = whole.choices[0].message.content
out["tokens"] = whole.usage.completion_tokens
chunks = litellm.completion(model=f"openai/{chat}", messages=messages, max_tokens=16, stream=True, **asked)
out["streamed"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}}
structured = litellm.completion(model=f"openai/{chat}", messages=messages, response_format=form, **asked)
out["structured"] = json.loads(structured.choices[0].message.content)
tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
called = litellm.completion(model=f"openai/{tooled}", messages=messages, tools=tools, tool_choice="required", **asked)
out["called"] = [[one.function.name, json.loads(one.function.arguments)] for one in called.choices[0].message.tool_calls]
embedding = litellm.embedding(model=f"openai/{chat}", input=["Paris"], api_base=base, api_key="none", encoding_format="float")
out["embedding"] = len(embedding.data[0]["embedding"])
print(json.dumps(out))
