"""Answers what PyPI's tokenizers makes of texts. Reads one JSON object a line: {"tokenizer": JSON of tokenizer.json} makes
the tokenizer that the following lines mean, {"text": ...} asks it. Writes one JSON object a line for each."""

import json
import sys

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


def streamed(tokenizer, prompt, ids):
    stream = DecodeStream(ids=prompt, skip_special_tokens=True) if prompt else DecodeStream(skip_special_tokens=True)
    try:
        return "".join(stream.step(tokenizer, each) or "" for each in ids)
    except Exception as error:  # "Invalid prefix encountered": later ids changed what was given out
        return {"error": str(error)}


def answer(tokenizer, text):
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text, add_special_tokens=True).ids
    half = len(ids) // 2
    return {
        "plain": plain,
        "ids": ids,
        "decoded": tokenizer.decode(ids, skip_special_tokens=False),
        "skipped": tokenizer.decode(ids, skip_special_tokens=True),
        "before": tokenizer.decode(ids[:half], skip_special_tokens=True),
        "streamed": streamed(tokenizer, ids[:half], ids[half:]),
    }


def main():
    tokenizer = None
    for line in sys.stdin:
        request = json.loads(line)
        if "tokenizer" in request:
            tokenizer = None
            try:
                tokenizer = Tokenizer.from_str(request["tokenizer"])
                reply = {"made": True}
            except BaseException as error:
                reply = {"error": str(error)}
        else:
            try:
                reply = answer(tokenizer, request["text"])
            except BaseException as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


main()
