/** Python source behind core's exchange.ts: the two ends of the pipe in workers of a page. */
export const pageSource = `
import json

from pyodide.ffi import run_sync, to_js

LARGEST_MESSAGE = 64 << 20


class PagePipe:
    """Messages of a MessagePort. Python waits for them, though JavaScript does not."""

    def __init__(self, receive, send):
        self.receive, self.send = receive, send
        self.ended = None

    def read(self):
        message = run_sync(self.receive())
        if hasattr(message, 'ended'):
            self.ended = message.ended
            raise EOFError
        if message.bytes is None:
            raise ValueError('no bytes')
        if message.bytes.length > LARGEST_MESSAGE:
            raise ValueError('an answer of more than %d MiB' % (LARGEST_MESSAGE >> 20))
        return message.bytes.to_bytes()

    def write(self, data):
        self.send(to_js(data))


class Finished(BaseException):
    pass


class PageJudge(Judge):
    said = None
    pipe = None

    def finish(self, verdict, result):
        self.said = self.said or {'verdict': verdict, 'result': result[:TEXT_LIMIT]}
        raise Finished

    def program_ended(self):
        self.finish(*json.loads(self.pipe.ended))

    def failed(self, error):
        if isinstance(error, ModuleNotFoundError) and getattr(error, 'of_program', False) is not True:
            self.finish('refused', 'the checks import %s, which this Python does not have' % error.name)
        super().failed(error)


def be_program(text, receive, send):
    peer = Program(PagePipe(receive, send))
    peer.pipe.write(run_program(text, peer))
    peer.serve()


def be_checks(text, receive, send):
    judge = PageJudge()
    judge.pipe = PagePipe(receive, send)
    try:
        judge.judge(json.loads(text), Checks(judge.pipe, judge))
    except Finished:
        pass
    return json.dumps(judge.said)
`
