"""Judges one program inside the sandbox. It is the sandbox's first process, so nothing in there can kill, stop or outlive it.

Two processes. The program runs in a child; the checks run here, and each call of the program's functions goes through a pair of
pipes. The child is forked before the checks are read, so it holds neither them nor a way to the verdict: what it prints, patches,
raises or kills changes only itself. It can pass by answering calls rightly, and in no other way.

What comes back is plain data (numbers, text, lists, ...), taken in by an unpickler that knows a short list of types. Everything
else stays in the child; the checks hold a `Remote`. The child never decides how a value of its own compares with the checks' data:
else an object whose __eq__ or __sub__ says what suits would pass.

Standard input: two documents, each four bytes of length and then JSON. The first has the program and its limits, the second the
checks. File descriptor 3 gets the verdict: one JSON object.
"""

import builtins
import fcntl
import importlib
import io
import json
import math
import operator
import os
import pickle
import resource
import select
import signal
import struct
import sys
import time
import types

VERDICT = 3
LARGEST_FRAME = 64 << 20
POLL_SECONDS = 0.02
TEXT_LIMIT = 2000

# What may stand in an answer beside what pickle has opcodes for. None of them runs code of the answer's.
PLAIN = {
    'builtins': {'set', 'frozenset', 'complex', 'range', 'bytearray', 'slice'},
    'collections': {'OrderedDict', 'Counter', 'deque'},
    'decimal': {'Decimal'},
    'fractions': {'Fraction'},
    'datetime': {'date', 'datetime', 'time', 'timedelta', 'timezone'},
}


# --- both sides: frames, and values in them


def read_exactly(fd, size, wait=None):
    parts = []
    while size:
        if wait:
            wait(fd)
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b''.join(parts)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


# Names that stand in pickles for what is not copied as it is (Peer.find_class has their meaning).
def _remote(handle, kind): ...
def _yours(handle): ...
def _plain(value): ...
def _keys(items): ...
def _items(pairs): ...


class Peer:
    """One end of the pipes. What it lends out by a number, the other end may call."""

    def __init__(self, source, sink, wait=None):
        self.source, self.sink, self.wait = source, sink, wait
        self.lent, self.handles = [], {}

    def lend(self, value):
        handle = self.handles.get(id(value))
        if handle is None:
            handle = self.handles[id(value)] = len(self.lent)
            self.lent.append(value)  # and so it lives, and its id is nobody else's
        return handle

    def dumps(self, value):
        peer = self

        class Pickler(pickle.Pickler):
            def reducer_override(self, obj):
                return peer.reduce(obj)

        buffer = io.BytesIO()
        Pickler(buffer, protocol=4).dump(value)
        return buffer.getvalue()

    def loads(self, data):
        peer = self

        class Unpickler(pickle.Unpickler):
            def find_class(self, module, name):
                return peer.find_class(module, name)

        return Unpickler(io.BytesIO(data)).load()

    def send(self, message):
        data = self.dumps(message)
        write_all(self.sink, struct.pack('>I', len(data)) + data)

    def receive(self):
        (size,) = struct.unpack('>I', read_exactly(self.source, 4, self.wait))
        if size > LARGEST_FRAME:
            raise ValueError('an answer of more than %d MiB' % (LARGEST_FRAME >> 20))
        return self.loads(read_exactly(self.source, size, self.wait))

    def find_class(self, module, name):
        """Fresh functions only, never a class: a pickle can set attributes of what it has found, such as the __eq__ of a class."""
        if module == '__main__':
            if name == '_remote':
                return self.remote
            if name == '_yours':
                return self.own
            if name == '_plain':
                return lambda value: value
            if name == '_keys':
                return lambda items: dict.fromkeys(items).keys()
            if name == '_items':
                return lambda pairs: dict(pairs).items()
        if name in PLAIN.get(module, ()):
            kind = getattr(__import__(module), name)
            return lambda *args: kind(*args)
        raise pickle.UnpicklingError('%s.%s is not plain data' % (module, name))

    def remote(self, handle, kind):
        raise NotImplementedError

    def own(self, handle):
        return self.lent[handle]

    def reduce(self, obj):
        """How something beyond numbers, text and collections of them is sent."""
        kind = type(obj)
        if kind is types.FunctionType and obj in HELPERS:
            return NotImplemented
        if isinstance(obj, type):
            return NotImplemented if is_plain(obj) else self.keep(obj)
        if is_plain(kind):
            return NotImplemented
        if kind is KEYS:
            return _keys, (list(obj),)
        if kind is ITEMS:
            return _items, (list(obj),)
        # Of a named tuple, an enumeration, a defaultdict: the plain value in it.
        for base, value in VALUES.items():
            if isinstance(obj, base):
                return _plain, (value(obj),)
        # numpy's scalars and arrays
        if hasattr(obj, 'tolist') and hasattr(obj, 'dtype'):
            return _plain, (obj.tolist(),)
        return self.keep(obj)

    def keep(self, obj):
        raise NotImplementedError


def is_plain(kind):
    return kind.__name__ in PLAIN.get(kind.__module__, ())


VALUES = {
    int: int.__int__,
    float: float.__float__,
    str: lambda obj: ''.join(str.__iter__(obj)),
    bytes: lambda obj: bytes(bytes.__iter__(obj)),
    tuple: lambda obj: tuple(tuple.__iter__(obj)),
    list: lambda obj: list(list.__iter__(obj)),
    set: lambda obj: set(set.__iter__(obj)),
    frozenset: lambda obj: frozenset(frozenset.__iter__(obj)),
    dict: lambda obj: {key: dict.__getitem__(obj, key) for key in dict.__iter__(obj)},
}
KEYS, ITEMS = type({}.keys()), type({}.items())
HELPERS = (_remote, _yours, _plain, _keys, _items)


# --- the child: the program


class Program(Peer):
    """Answers the calls of the checks until they end."""

    def keep(self, obj):
        return _remote, (self.lend(obj), 'callable' if callable(obj) else 'object')

    def remote(self, handle, kind):
        def callback(*args, **kwargs):
            self.send(('callback', handle, args, kwargs))
            return self.serve()

        return callback

    def serve(self):
        while True:
            kind, *rest = self.receive()
            if kind == 'return':
                return rest[0]
            if kind == 'raise':
                raise rebuilt(rest)
            handle, operation, args, kwargs = rest
            try:
                value = OPERATIONS[operation](self.lent[handle], *args, **kwargs)
                # Arguments go back too: the checks may look at a list that was to be sorted in place.
                answer = self.dumps(('return', value, [arg for arg in args if type(arg) in MUTABLE]))
            except BaseException as error:
                answer = self.dumps(described(error))
            write_all(self.sink, struct.pack('>I', len(answer)) + answer)


MUTABLE = (list, dict, set, bytearray)


def described(error):
    try:
        text = str(error)[:TEXT_LIMIT]
    except BaseException:
        text = ''
    names = [each.__name__ for each in type(error).__mro__ if each.__module__ == 'builtins' and each is not object]
    plain = [arg for arg in error.args if isinstance(arg, (str, int, float))] if len(error.args) < 4 else []
    return 'raise', names[0] if names else 'Exception', plain, text, type(error).__name__


def rebuilt(description):
    name, args, text, own = description
    kind = getattr(builtins, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        kind = Exception
    try:
        error = kind(*args)
    except Exception:
        error = Exception(text)
    error.of_program = True
    error.own_name = str(own)[:100]
    return error


def run_program(job, source, sink):
    """Ends with the process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in (signal.SIGALRM, signal.SIGPIPE):
        signal.signal(name, signal.SIG_DFL)
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    # The verdict's descriptor goes with all others. From high numbers, so that neither takes the other's place.
    source, sink = fcntl.fcntl(source, fcntl.F_DUPFD, 20), fcntl.fcntl(sink, fcntl.F_DUPFD, 20)
    os.dup2(source, 10)
    os.dup2(sink, 11)
    os.closerange(3, 10)
    os.closerange(12, resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1)
    cpu = math.ceil(job['cpuSeconds']) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    for name, value in (('RLIMIT_NPROC', job['processes']), ('RLIMIT_FSIZE', job['fileBytes'])):
        resource.setrlimit(getattr(resource, name), (int(value), int(value)))
    peer = Program(10, 11)
    module = types.ModuleType('solution')
    sys.modules['solution'] = module
    sys.argv = ['solution.py']
    sys.path[:] = [path for path in sys.path if path not in ('', '/')]
    try:
        exec(compile(job['program'], 'solution.py', 'exec', dont_inherit=True), module.__dict__)
        peer.lend(module)
        answer = peer.dumps(('ready',))
    except BaseException as error:
        try:
            answer = peer.dumps(described(error))
        except BaseException:
            os._exit(1)
    write_all(peer.sink, struct.pack('>I', len(answer)) + answer)
    try:
        peer.serve()
    except EOFError:
        pass
    os._exit(0)


def look_up(module, names):
    """Of the program's names those that the checks use and do not define: values, and of modules their names."""
    found = {name: vars(module)[name] for name in names if name in vars(module)}
    modules = {name: value.__name__ for name, value in found.items() if isinstance(value, types.ModuleType)}
    return {name: value for name, value in found.items() if name not in modules}, modules


# --- the parent: the checks


class Checks(Peer):
    def __init__(self, source, sink, judge):
        super().__init__(source, sink, judge.wait)
        self.judge = judge

    # What goes wrong between the two ends the judging at once: checks that catch exceptions must not catch this.

    def send(self, message):
        data = self.dumps(message)
        try:
            write_all(self.sink, struct.pack('>I', len(data)) + data)
        except OSError:
            self.judge.program_ended()

    def receive(self):
        try:
            message = super().receive()
            if not isinstance(message, tuple) or message[0] not in ('ready', 'return', 'raise', 'callback'):
                raise ValueError('an answer of no known form')
            return message
        except (EOFError, OSError):
            self.judge.program_ended()
        except MemoryError as error:
            self.judge.failed(error)
        except BaseException as error:
            self.judge.finish('error', 'failed: the program answers with what is no answer: %s' % error)

    def own(self, handle):
        lent = self.lent[handle]
        return lambda *args, **kwargs: lent(*args, **kwargs)

    def keep(self, obj):
        if isinstance(obj, Remote):
            return _yours, (object.__getattribute__(obj, '_handle'),)
        if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType, type)):
            return _remote, (self.lend(obj), 'callable')
        raise TypeError('%s cannot be handed to the program' % type(obj).__name__)

    def remote(self, handle, kind):
        if not isinstance(handle, int):
            raise pickle.UnpicklingError('a handle that is no number')
        return (RemoteCallable if kind == 'callable' else Remote)(self, handle)

    def reduce(self, obj):
        return self.keep(obj) if isinstance(obj, Remote) else super().reduce(obj)

    def ask(self, handle, method, args=(), kwargs=None):
        self.send(('ask', handle, method, args, kwargs or {}))
        while True:
            kind, *rest = self.receive()
            if kind == 'raise':
                raise rebuilt(rest)
            if kind == 'callback':
                called, their_args, their_kwargs = rest
                try:
                    value = self.lent[called](*their_args, **their_kwargs)
                    self.send(('return', value))
                except Exception as error:
                    self.send(described(error))
                continue
            value, changed = rest
            mutable = [arg for arg in args if type(arg) in MUTABLE]
            for mine, theirs in zip(mutable, changed):
                if type(mine) is not type(theirs):
                    raise ValueError('an argument came back as another type')
                if value is theirs:
                    value = mine
                if isinstance(mine, (list, bytearray)):
                    mine[:] = theirs
                else:
                    mine.clear()
                    mine.update(theirs)
            return value


class Remote:
    """A value that stayed with the program, which therefore says what its attributes and items are. It equals no plain data."""

    __slots__ = ('_peer', '_handle')

    def __init__(self, peer, handle):
        object.__setattr__(self, '_peer', peer)
        object.__setattr__(self, '_handle', handle)

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self._handle)

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return self._peer.ask(self._handle, 'getattr', (name,))

    def __setattr__(self, name, value):
        self._peer.ask(self._handle, 'setattr', (name, value))


class RemoteCallable(Remote):
    __slots__ = ()

    def __call__(self, *args, **kwargs):
        return self._peer.ask(self._handle, 'call', args, kwargs)


# What checks may do with a value that stayed with the program.
OPERATIONS = {
    'look_up': look_up,
    'call': lambda target, *args, **kwargs: target(*args, **kwargs),
    'getattr': getattr,
    'setattr': setattr,
    '__iter__': iter,
    '__next__': next,
    '__len__': len,
    '__str__': str,
    '__repr__': repr,
    '__bool__': bool,
    '__getitem__': operator.getitem,
}
# Between two values of the program only, or it could say that all its numbers are near the right ones.
COMPARISONS = ('eq', 'lt', 'le', 'gt', 'ge', 'add', 'sub', 'mul')
OPERATIONS.update({'__%s__' % name: getattr(operator, name) for name in COMPARISONS})


def forwarded(operation):
    return lambda self, *args: self._peer.ask(self._handle, operation, args)


def compared(operation):
    other_is_plain = False if operation == '__eq__' else NotImplemented
    return lambda self, other: self._peer.ask(self._handle, operation, (other,)) if isinstance(other, Remote) else other_is_plain


for _operation in OPERATIONS:
    if _operation.strip('_') in COMPARISONS:
        setattr(Remote, _operation, compared(_operation))
    elif _operation.startswith('__'):
        setattr(Remote, _operation, forwarded(_operation))


class Judge:
    def __init__(self, job):
        self.job = job
        self.started = time.monotonic()
        # A program that computes has its seconds of CPU; one that sleeps, or has to wait for a busy machine, has more by the clock.
        self.deadline = self.started + job['wallSeconds']
        self.child = None
        self.status = None
        self.finished = False

    def finish(self, verdict, result):
        """Says the verdict and ends the sandbox, and so every process in it."""
        if self.finished:
            return  # the alarm, while the verdict is being written
        self.finished = True
        text = json.dumps({'verdict': verdict, 'result': result[:TEXT_LIMIT], 'seconds': time.monotonic() - self.started})
        write_all(VERDICT, text.encode('ascii', 'replace'))
        os._exit(0)

    def out_of_time(self):
        self.finish('time', 'timed out')

    def alarm(self, *_):
        """For checks that never call the program."""
        if self.finished:
            return  # while the verdict is being written, which an exception here would prevent
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.out_of_time()
        signal.setitimer(signal.ITIMER_REAL, left)

    def wait(self, fd):
        """Until `fd` can be read. Meanwhile: the clock, the number of files, and who has died."""
        while True:
            asked = time.monotonic()
            ready, _, _ = select.select([fd], [], [], max(0.0, min(POLL_SECONDS, self.deadline - asked)))
            # Where this process gets its turn late the program does, too: time on a machine that is busy is not the program's.
            self.deadline += max(0.0, time.monotonic() - asked - 2 * POLL_SECONDS)
            if time.monotonic() >= self.deadline or self.cpu_seconds() >= self.job['cpuSeconds']:
                self.out_of_time()
            for folder in self.job['folders']:
                space = os.statvfs(folder)
                if space.f_files - space.f_ffree > self.job['files']:
                    self.finish('killed', 'failed: more than %d files' % self.job['files'])
            self.reap()
            if ready:
                return

    def cpu_seconds(self):
        """Of the program's process. Its clock has a number made of its id: clock_getcpuclockid(3)."""
        try:
            return time.clock_gettime(~self.child << 3 | 2)
        except OSError:
            return 0.0

    def reap(self):
        """Orphans become children of the first process: whoever does not take them in leaves them in the process table."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child:
                    self.status = status
        except ChildProcessError:
            pass

    def program_ended(self):
        """The program went away in the middle: of its own will, by a signal, or by a limit."""
        until = time.monotonic() + 0.5
        while self.status is None and time.monotonic() < until:
            self.reap()
            time.sleep(0.001)
        status = self.status
        if status is None:
            self.finish('error', 'failed: the program closed its connection to the checks')
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                self.out_of_time()
            self.finish('killed', 'failed: the program ended by %s' % signal.Signals(number).name)
        self.finish('error', 'failed: the program ended itself with exit code %d' % os.WEXITSTATUS(status))

    def failed(self, error):
        try:
            text = str(error)
        except BaseException:
            text = ''
        if isinstance(error, MemoryError):
            self.finish('memory', 'failed: out of memory')
        theirs = getattr(error, 'of_program', False) is True
        if isinstance(error, AssertionError) and not theirs:
            self.finish('fail', 'failed: ' + text)
        self.finish('error', 'failed: ' + (text or getattr(error, 'own_name', type(error).__name__)))


def main():
    os.chdir('/tmp')
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)
    job = read_document()
    if os.getpid() != 1:
        Judge(job).finish('refused', 'the judge is not the first process of the sandbox')
    for name, value in (('RLIMIT_CORE', 0), ('RLIMIT_AS', job['memoryBytes']), ('RLIMIT_NOFILE', job['openFiles'])):
        resource.setrlimit(getattr(resource, name), (int(value), int(value)))

    to_program, to_checks = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(VERDICT)
        os.close(0)
        run_program(job, to_program[0], to_checks[1])
    os.close(to_program[0])
    os.close(to_checks[1])
    judge = Judge(job)
    judge.child = child
    signal.signal(signal.SIGALRM, judge.alarm)
    signal.setitimer(signal.ITIMER_REAL, job['wallSeconds'])
    peer = Checks(to_checks[0], to_program[1], judge)
    checks = read_document()
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    try:
        kind, *description = peer.receive()
        if kind == 'raise':
            raise rebuilt(description)
        run_checks(checks, peer)
    except BaseException as error:
        judge.failed(error)
    judge.finish('pass', 'passed')


def run_checks(checks, peer):
    space = {'__name__': 'checks'}
    # Helpers that the prompt brings are taken from it, not from the program.
    exec(compiled_prompt(checks['prelude']), space)
    code = compile(checks['test'], 'test.py', 'exec', dont_inherit=True)
    entry = checks.get('entryPoint')
    wanted = [name for name in names_in(code) if name not in space and not hasattr(builtins, name)]
    values, modules = peer.ask(0, 'look_up', (wanted + [entry] if entry else wanted,))
    space.update(values)
    for name, module in modules.items():
        if module.split('.')[0] in getattr(sys, 'stdlib_module_names', ()):
            space[name] = importlib.import_module(module)
    if entry and entry not in values:
        raise NameError("name '%s' is not defined" % entry)
    exec(code, space)
    if entry:
        space['check'](values[entry])


def compiled_prompt(prompt):
    """Most prompts are whole up to a docstring; some end before any body, and some are words."""
    for text in (prompt, prompt + '\n    pass\n', ''):
        try:
            return compile(text, 'prompt.py', 'exec', dont_inherit=True)
        except SyntaxError:
            pass


def names_in(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_in(constant)
    return names


def read_document():
    (size,) = struct.unpack('>I', read_exactly(0, 4))
    return json.loads(read_exactly(0, size))


main()
