/**
 * Whether the sandbox holds on this machine: programs that try to get out of it are judged, and the checks say what each must have
 * met. Some systems forbid namespaces, and some limits are none for some users; nothing but trying tells.
 */
import { unsupportedError } from '@parscale/core/internal'
import { judgeScript } from '../package-files.ts'
import { type Limits, limitsOf } from './limits.ts'
import type { Python } from './python.ts'
import { runProgram } from './run-program.ts'

const attempts = `
import os, time

def outcome(action, *args):
    try:
        action(*args)
        return 'done'
    except BaseException as error:
        return type(error).__name__

def connect():
    import socket
    socket.socket(socket.AF_INET, socket.SOCK_STREAM)

def namespace():
    import ctypes
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:
        raise PermissionError

def fill():
    for name in range(1000):
        with open('/tmp/fill%d' % name, 'wb') as file:
            file.write(bytes(1 << 20))

def write(path):
    open(path, 'w').close()

def processes(most):
    for count in range(most):
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except OSError:
            return count
    return most

def probe(outside, memory, most):
    return {
        'files': [path for path in outside if os.path.exists(path)],
        'proc': os.listdir('/proc'),
        'others': [pid for pid in range(2, 1000) if pid != os.getpid() and outcome(os.kill, pid, 0) == 'done'],
        'parent': os.getppid(),
        'root': outcome(write, '/escaped'),
        'python': outcome(write, os.path.join(os.path.dirname(os.__file__), 'escaped.py')),
        'socket': outcome(connect),
        'namespace': outcome(namespace),
        'memory': outcome(bytearray, memory + 1),
        'disk': outcome(fill),
        'processes': processes(2 * most),
    }
`

/** Files of every machine, and one of ours, which may lie among what is shown. */
const outside = () => ['/etc/passwd', '/sys/kernel', '/proc/self', ...(judgeScript.startsWith('/usr/') ? [] : [judgeScript])]

const checks = (limits: Limits) => `
def check(probe):
    found = probe(${JSON.stringify(outside())}, ${limits.memoryBytes}, ${limits.processes})
    assert found['files'] == [], 'a program can read files of this machine'
    assert found['proc'] == [], 'a program can read /proc'
    assert found['others'] == [] and found['parent'] == 1, 'a program can signal processes of this machine'
    assert found['root'] in ('OSError', 'PermissionError'), 'a program can write to /'
    assert found['python'] in ('OSError', 'PermissionError'), 'a program can write to the folder of Python'
    assert found['socket'] == 'PermissionError', 'a program can open a socket'
    assert found['namespace'] == 'PermissionError', 'a program can make namespaces'
    assert found['memory'] == 'MemoryError', 'the limit on memory does not hold'
    assert found['disk'] == 'OSError', 'the limit on the size of files does not hold'
    assert 0 < found['processes'] < ${limits.processes}, 'the limit on processes does not hold: %d could be started' % found['processes']
`

/** Programs that only the judge can end, and their verdicts. */
const ended = [
  { verdict: 'time', program: 'import time\ntime.sleep(60)', what: 'the limit on time' },
  {
    verdict: 'killed',
    program: 'for i in range(100000): open("/tmp/%d" % i, "w").close()',
    what: 'the limit on the number of files',
  },
] as const

/** @throws unsupported error with the reason where the sandbox cannot be made, or does not hold */
export async function probeSandbox(python: Python, limits: Limits, signal?: AbortSignal): Promise<void> {
  const options = { python, signal, limits: limitsOf(10, limits.memoryBytes) }
  const tried = await runProgram({ program: attempts, prelude: '', test: checks(options.limits), entryPoint: 'probe' }, options)
  if (tried.verdict !== 'pass') throw refusal(tried.result)
  const short = { ...options, limits: { ...options.limits, wallSeconds: 0.5 } }
  await Promise.all(
    ended.map(async ({ verdict, program, what }) => {
      const found = await runProgram({ program, prelude: '', test: '' }, verdict === 'time' ? short : options)
      if (found.verdict !== verdict) throw refusal(`${what} does not hold (${found.result})`)
    }),
  )
}

/** What people can do, by what bubblewrap says. */
const advice: readonly (readonly [RegExp, string])[] = [
  [/install|cannot become/, ''],
  [
    /namespace|uid map|Operation not permitted|Permission denied|Creating new/i,
    '; this system does not let ordinary users make namespaces: in a container, allow them (Docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined), on Ubuntu 24.04 give bwrap an AppArmor profile with "userns"',
  ],
  [/Unknown option/i, '; bubblewrap 0.8 or later is needed'],
]

function refusal(result: string) {
  const reason = result.replace(/^(failed|refused): /, '')
  const [, more = ''] = advice.find(([pattern]) => pattern.test(reason)) ?? []
  return unsupportedError(`the sandbox for generated code does not hold here: ${reason}${more}; nothing was run`)
}
