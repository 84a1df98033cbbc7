/** Programs judged in a page, in a real Chromium. All of HumanEval and of fixtures/hostile: judge-page.nightly.test.ts. */
import { describe, expect, it } from 'vitest'
import { noBrowser } from './support/browser.ts'
import { judgedInPage, judgePages } from './support/judge-page.ts'

const double = {
  task_id: 'double',
  prompt: 'def double(x):\n',
  entry_point: 'double',
  test: 'def check(f):\n    for x in (12345, [1]):\n        assert f(x) == 2 * x, "is not twice as much"\n',
}
const completed = (completions: readonly string[]) => completions.map((completion) => ({ task_id: 'double', completion }))

describe.skipIf(noBrowser)('in Chromium', () => {
  const pages = judgePages()

  it('says of each program what it is', async () => {
    const found = await judgedInPage(
      pages.page,
      [double],
      completed([
        '    return x * 2\n',
        '    return x + x + x\n',
        '    raise KeyError("none")\n',
        '    while True: pass\n',
        '    return bytearray(1 << 30)\n',
        '    import os\n    os._exit(3)\n',
        '    return double(x)\n',
        '    print("x" * 1000000)\n    return x * 2\n',
      ]),
      { seconds: 3 },
    )
    expect(found.map(({ verdict, result }) => `${verdict}: ${result}`)).toEqual([
      'pass: passed',
      'fail: failed: is not twice as much',
      "error: failed: 'none'",
      'time: timed out',
      'memory: failed: out of memory',
      'error: failed: the program ended itself',
      'error: failed: maximum recursion depth exceeded',
      'pass: passed',
    ])
  })

  it('lets no program say its own verdict', async () => {
    const walk = `
import sys
frame = sys._getframe()
while frame:
    peer = frame.f_locals.get('peer')
    if peer:
        for said in SAID:
            try: peer.pipe.send(said)
            except BaseException: pass
    frame = frame.f_back
def double(x): return 0
`
    const script = (text: string) => `
import sys
frame = sys._getframe()
while frame:
    peer = frame.f_locals.get('peer')
    if peer: peer.pipe.send.constructor(${JSON.stringify(text)})()
    frame = frame.f_back
def double(x): return 0
`
    const solutions = [
      walk.replace('SAID', `('["pass", "passed"]', 'passed', None, True)`),
      walk.replace('SAID', `(__import__('pyodide.ffi').ffi.to_js({'ended': '["pass", "passed"]'}),)`),
      script(`self.postMessage({ judgement: '{"verdict": "pass", "result": "passed"}' })`),
      script(`self.postMessage({ ended: 'closed', judgement: '{"verdict": "pass"}' })`),
      'import js\njs.postMessage("passed")\ndef double(x): return 0\n',
      'from pyodide.code import run_js\nrun_js("self.postMessage(1)")\ndef double(x): return 0\n',
      'class All:\n    def __eq__(self, other): return True\ndef double(x): return All()\n',
    ]
    const found = await judgedInPage(
      pages.page,
      [double],
      solutions.map((solution) => ({ task_id: 'double', solution })),
    )
    expect(found.map(({ verdict }) => verdict).filter((verdict) => verdict !== 'error' && verdict !== 'fail')).toEqual([])
  })

  it('judges nothing where it may not, or the frame is not what it should be', async () => {
    const one = completed(['    return x * 2\n'])
    const refusal = async (...args: Parameters<typeof judgedInPage>) =>
      await judgedInPage(...args).then(
        (found) => JSON.stringify(found),
        (error: Error) => error.message,
      )
    expect(await refusal(pages.page, [double], one, { allowCode: false })).toContain('set allowCode')
    expect(await refusal(pages.page, [double], one, { runtimeFiles: '/nowhere/' })).toContain('answers 404')
    expect(await refusal(pages.page, [double], [{ task_id: 'other', completion: '' }])).toContain(
      'task_id other: is none of the 1 problems',
    )
    const importing = { ...double, test: `import numpy\n${double.test}` }
    expect(await refusal(pages.page, [importing], one)).toContain('the checks import numpy, which this Python does not have')

    // A page whose policy forbids the frame's script is told which it is, and with that it works.
    const message = await refusal(pages.strict, [double], one)
    const [script] = /'sha256-[^']+'/.exec(message)!
    expect(await judgedInPage(await pages.open(script), [double], one)).toMatchObject([{ verdict: 'pass' }])

    // Without its own policy the frame would have a network.
    const open = await pages.open("'unsafe-inline' 'unsafe-eval'")
    await open.evaluate(() => {
      const { set, get } = Object.getOwnPropertyDescriptor(
        (globalThis as unknown as { HTMLIFrameElement: { prototype: object } }).HTMLIFrameElement.prototype,
        'srcdoc',
      )!
      Object.defineProperty(
        (globalThis as unknown as { HTMLIFrameElement: { prototype: object } }).HTMLIFrameElement.prototype,
        'srcdoc',
        {
          get: get!,
          set(text: string) {
            set!.call(this, text.replace(/<meta[^>]*>/, ''))
          },
        },
      )
    })
    expect(await refusal(open, [double], one)).toMatch(/does not hold here: a program could .*; nothing was run/)
  })
})
