/** Whether the frame holds in this browser: a script and programs try to get out of it. */
import { unsupportedError } from '../../errors.ts'
import type { JudgeFrame } from './frame.ts'

const attempts = `
def outcome(action, *args):
    try:
        return action(*args)
    except BaseException as error:
        return type(error).__name__

def page():
    import js
    return [name for name in ('fetch', 'document', 'postMessage', 'indexedDB', 'WebSocket') if hasattr(js, name)]

def fill():
    for name in range(2000):
        with open('/tmp/fill%d' % name, 'wb') as file:
            file.write(bytes(1 << 20))
    return 'done'

def probe(memory):
    return {
        'page': outcome(page),
        'memory': outcome(lambda: len(bytearray(memory))),
        'files': outcome(fill),
    }
`

const checks = (memoryBytes: number) => `
def check(probe):
    found = probe(${memoryBytes})
    assert found['page'] in ([], 'ModuleNotFoundError'), 'a program can reach the page'
    assert found['memory'] == 'MemoryError', 'the limit on memory does not hold'
    assert found['files'] == 'OSError', 'the limit on files does not hold'
`

/** @throws unsupported error with the reason */
export async function probeFrame(frame: JudgeFrame, memoryBytes: number): Promise<void> {
  // What a script could do there is what a program could, if it found a way out of Python.
  const [way] = await frame.escapes(new URL('/', location.href).href)
  if (way) throw refusal(`a program could ${way}`)
  const tried = await frame.run(
    { program: attempts, prelude: '', test: checks(memoryBytes), entryPoint: 'probe' },
    { seconds: 60, memoryBytes, next: true },
  )
  if (tried.verdict !== 'pass') throw refusal(tried.result)
  const endless = await frame.run(
    { program: 'while True: pass', prelude: '', test: '' },
    { seconds: 0.5, memoryBytes, next: true },
  )
  if (endless.verdict !== 'time') throw refusal(`the limit on time does not hold (${endless.result})`)
}

const refusal = (result: string) =>
  unsupportedError(
    `the sandbox for generated code does not hold here: ${result.replace(/^(failed|refused): /, '')}; nothing was run`,
  )
