"""Renders chat templates as transformers does: one request a line on stdin, one answer a line on stdout, both JSON.

Request: {"template", "variables", "now": seconds}; `variables` holds messages, tools, documents, add_generation_prompt and
what else a caller may give. Answer: {"text"} or {"error": name of the exception}. Run with TZ=UTC.
"""

import datetime
import json
import sys

from transformers.utils import chat_template_utils


class Clock(datetime.datetime):
    seconds = 0

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(cls.seconds)


chat_template_utils.datetime = Clock


def render(request):
    variables = dict(request["variables"])
    Clock.seconds = request.get("now", 0)
    try:
        (text,), _ = chat_template_utils.render_jinja_template(
            conversations=[variables.pop("messages", [])], chat_template=request["template"], **variables
        )
        # Half a surrogate pair cannot be sent.
        text.encode()
        return {"text": text}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)[:300]}


for line in sys.stdin:
    print(json.dumps(render(json.loads(line))), flush=True)
