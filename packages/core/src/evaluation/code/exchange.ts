/**
 * Python source: how a program answers the checks of it, from an interpreter of its own. What it runs in is the caller's, who puts it in
 * front of a source that brings the pipe, the limits and the end: a process in a sandbox (parscale's sandbox/judge.py), or a worker of
 * a page (web/judge).
 */
export const exchangeSource = String.raw`"""What stands between a program and the checks of it, which run in interpreters of their own.

A program is loaded before its checks are read, so it holds neither them nor a way to the verdict: what it prints, patches, raises
or kills changes only itself. It can pass by answering calls rightly, and in no other way.

What comes back is plain data (numbers, text, lists, ...), taken in by an unpickler that knows a short list of types. Everything
else stays with the program; the checks hold a Remote. The program never decides how a value of its own compares with the checks'
data: else an object whose __eq__ or __sub__ says what suits would pass.
"""

import builtins
import importlib
import io
import operator
import pickle
import sys
import types

TEXT_LIMIT = 2000

# What may stand in an answer beside what pickle has opcodes for. None of them runs code of the answer's.
PLAIN = {
    'builtins': {'set', 'frozenset', 'complex', 'range', 'bytearray', 'slice'},
    'collections': {'OrderedDict', 'Counter', 'deque'},
    'decimal': {'Decimal'},
    'fractions': {'Fraction'},
    'datetime': {'date', 'datetime', 'time', 'timedelta', 'timezone'},
}


# Names that stand in pickles for what is not copied as it is (Peer.find_class has their meaning).
def _remote(handle, kind): ...
def _yours(handle): ...
def _plain(value): ...
def _keys(items): ...
def _items(pairs): ...


class Peer:
    """One end of a pipe, which reads and writes whole messages. What it lends out by a number, the other end may call."""

    def __init__(self, pipe):
        self.pipe = pipe
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
        self.pipe.write(self.dumps(message))

    def receive(self):
        return self.loads(self.pipe.read())

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
            self.pipe.write(answer)


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


def run_program(text, peer):
    """What the checks are told first: ready, or what was raised."""
    module = types.ModuleType('solution')
    sys.modules['solution'] = module
    sys.argv = ['solution.py']
    sys.path[:] = [path for path in sys.path if path not in ('', '/')]
    try:
        exec(compile(text, 'solution.py', 'exec', dont_inherit=True), module.__dict__)
        peer.lend(module)
        return peer.dumps(('ready',))
    except BaseException as error:
        return peer.dumps(described(error))


def look_up(module, names):
    """Of the program's names those that the checks use and do not define: values, and of modules their names."""
    found = {name: vars(module)[name] for name in names if name in vars(module)}
    modules = {name: value.__name__ for name, value in found.items() if isinstance(value, types.ModuleType)}
    return {name: value for name, value in found.items() if name not in modules}, modules


# --- the parent: the checks


class Checks(Peer):
    def __init__(self, pipe, judge):
        super().__init__(pipe)
        self.judge = judge

    # What goes wrong between the two ends the judging at once: checks that catch exceptions must not catch this.

    def send(self, message):
        data = self.dumps(message)
        try:
            self.pipe.write(data)
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
    """What is said of the program. Who derives from it ends both sides in finish(verdict, result), the first of which counts."""

    def judge(self, checks, peer):
        try:
            kind, *description = peer.receive()
            if kind == 'raise':
                raise rebuilt(description)
            run_checks(checks, peer)
        except BaseException as error:
            self.failed(error)
        self.finish('pass', 'passed')

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
`
