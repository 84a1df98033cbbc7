/** Programs in the real sandbox: right ones, wrong ones, and one hostile one of each kind. */
import { it as always, describe as alwaysDescribe, expect } from 'vitest'
import { limitsOf } from './limits.ts'
import { probeSandbox } from './probe.ts'
import { findPython } from './python.ts'
import { runProgram } from './run-program.ts'
import { hasBubblewrap } from './testing/judged.ts'
import { runHostile } from './testing/run-hostile.ts'

const it = always.runIf(hasBubblewrap)
const describe = alwaysDescribe.runIf(hasBubblewrap)

/** So much time that a slow machine fails nothing that is right. */
const generous = limitsOf(60)
const judge = async (program: string, check: string, limits = generous) =>
  await runProgram(
    { program, prelude: '', test: `def check(f):\n    ${check}\n`, entryPoint: 'f' },
    { python: await findPython(), limits },
  )

it('holds on this machine', async () => await probeSandbox(await findPython(), limitsOf()))

describe('passes what is right:', () => {
  it.each([
    ['numbers', 'def f(x): return x * 2', 'assert f(2) == 4 and f(1.5) == 3.0 and f(10 ** 400) == 2 * 10 ** 400'],
    ['a list sorted in place', 'def f(x): x.sort()', 'xs = [3, 1]; assert f(xs) is None and xs == [1, 3]'],
    ['the argument itself', 'def f(x): return x', 'xs = [1]; assert f(xs) is xs'],
    ['a named tuple', 'from collections import *\nP = namedtuple("P", "a b")\ndef f(x): return P(x, 2)', 'assert f(1) == (1, 2)'],
    ['views of a dictionary', 'def f(x): return {x: 1}.keys()', 'assert f(1) == {1} and f(1) != {2}'],
    ['counters', 'import collections\ndef f(x): return collections.Counter(x)', 'assert f("aab") == {"a": 2, "b": 1}'],
    ['a generator', 'def f(x):\n  for i in range(x): yield i', 'assert list(f(3)) == [0, 1, 2] and tuple(f(2)) == (0, 1)'],
    ['a function of the checks', 'def f(x, key): return sorted(x, key=key)', 'assert f([1, 2], lambda x: -x) == [2, 1]'],
    [
      'a builtin exception',
      'def f(x): raise KeyError(x)',
      'try: f(1)\n    except KeyError as e: assert e.args == (1,)\n    else: assert False',
    ],
    [
      'a class of the program',
      'class P:\n  def __init__(s, a): s.a = a\ndef f(x): return P(x)',
      'assert f(3).a == 3 and P(4).a == 4',
    ],
    ['state between calls', 'n = 0\ndef f():\n  global n\n  n += 1\n  return n', 'assert (f(), f()) == (1, 2)'],
    [
      'threads',
      'from multiprocessing.pool import ThreadPool\ndef f(x): return ThreadPool(4).map(abs, x)',
      'assert f([-1]) == [1]',
    ],
    [
      'processes',
      'from concurrent.futures import *\ndef f(x):\n  with ProcessPoolExecutor(2) as p: return list(p.map(abs, x))',
      'assert f([-1]) == [1]',
    ],
    ['asyncio', 'import asyncio\nasync def g(x): return x\ndef f(x): return asyncio.run(g(x))', 'assert f(1) == 1'],
    [
      'temporary files',
      'import tempfile\ndef f(x):\n  with tempfile.TemporaryFile() as t:\n    t.write(x); t.seek(0); return t.read()',
      'assert f(b"a") == b"a"',
    ],
    [
      'a program of the system',
      'import subprocess\ndef f(x): return subprocess.check_output(["echo", x]).decode()',
      'assert f("a") == "a\\n"',
    ],
  ])('%s', async (_, program, check) => {
    expect(await judge(program, check)).toMatchObject({ verdict: 'pass', result: 'passed' })
  })
})

describe('says what is wrong:', () => {
  it.each([
    ['fail', 'failed: not so', 'def f(): return 1', 'assert f() == 2, "not so"'],
    ['error', "failed: name 'y' is not defined", 'def f(): return y', 'f()'],
    ['error', "failed: name 'f' is not defined", 'def g(): pass', 'f()'],
    ['error', 'failed: own', 'class Own(Exception): pass\ndef f(): raise Own("own")', 'f()'],
    ['time', 'timed out', 'def f():\n  while True: pass', 'try: f()\n    except: pass'],
    ['memory', 'failed: out of memory', 'def f(): return bytearray(1 << 40)', 'f()'],
    [
      'killed',
      'failed: the program ended by SIGSEGV',
      'import os\ndef f(): os.kill(os.getpid(), 11)',
      'try: f()\n    except: pass',
    ],
  ])('%s: %s', async (verdict, result, program, check) => {
    expect(await judge(program, check, verdict === 'time' ? limitsOf(0.5) : generous)).toMatchObject({ verdict, result })
  })
})

/** The last of its kind where there are several. */
const chosen =
  /^(answers with a pickle that calls os|a number whose arithmetic suits int|writes to descriptor 3|walks the frames|asks the judge to stop with signal 19|forks for ever|takes memory with several|fills the disk empty|prints without end os.write\(1|reads CANARY|writes CANARY\/file|removes CANARY|makes itself root os.setuid|opens a socket AF_INET, socket.SOCK_STREAM|signals HOSTPID|leaves a process behind stopped|the kernel call 101, 16|calls of another architecture 0xb8, 0x14|types into the terminal 0x5412|raises its own limits AS)/

it('contains twenty hostile programs', async () => {
  const { results, connections, changed } = await runHostile(({ name }) => chosen.test(name))
  expect(results.length).toBeGreaterThanOrEqual(20)
  expect(results.filter(({ judgement }) => ['pass', 'refused'].includes(judgement.verdict))).toEqual([])
  expect(connections).toBe(0)
  expect(changed).toEqual([])
})
